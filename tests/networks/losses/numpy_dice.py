"""The Dice losses once more, in numpy and float64, written from the formulas alone."""

import numpy as np


def softmax(logits):
    """Of (B, C, ...)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def dice_of_each_class(logits, labels, epsilon, ignored=255):
    """Give {class: Dice} of the foreground classes that are present, of logits (B, C, ...) and labels (B, 1, ...)."""
    known = labels[:, 0] != ignored
    probabilities = softmax(logits.astype(np.float64))
    found = {}
    for index in range(1, logits.shape[1]):
        p = probabilities[:, index][known]
        g = (labels[:, 0] == index)[known].astype(np.float64)
        if g.any():
            found[index] = (2 * (p * g).sum() + epsilon) / (p.sum() + g.sum() + epsilon)
    return found


def explog_dice(logits, labels, gamma, epsilon, ignored=255):
    found = dice_of_each_class(logits, labels, epsilon, ignored)
    return np.mean([(-np.log(dice)) ** gamma for dice in found.values()])


def explog_cross_entropy(logits, labels, gamma, weights, ignored=255):
    known = labels[:, 0] != ignored
    probabilities = softmax(logits.astype(np.float64))
    terms = []
    for index, weight in enumerate(weights):
        own = probabilities[:, index][known & (labels[:, 0] == index)]
        terms.append(weight * (-np.log(own)) ** gamma)
    return np.concatenate(terms).mean()
