"""Storing to a DICOM node: C-STORE with a presentation context for each SOP class and transfer syntax."""

from __future__ import annotations

import io
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from pipelines.pacs.address import NodeAddress
from pipelines.pacs.node_association import accepted_context, associated, lost
from pipelines.pacs.node_retrieval import Retrieval
from pipelines.pacs.patience import Deadline, PassingFault, Patience, persist
from pipelines.pacs.storage_status import is_passing, is_stored, status_meaning
from pipelines.pacs.storing import Outgoing, Tell
from transforms.io.input_error import InputError

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.presentation import PresentationContext

_MOST_CONTEXTS = 128


class NodeChannel:
    """Storing to one node, within one deadline; what ``store_instances`` needs.

    Args:
        address: of the node.
        patience: limits of time.
        deadline: of the call that this belongs to.
        tls: what connections are wrapped with, or None.
        listed: gives the instances that the node lists for the UIDs of a study and of a series.
    """

    def __init__(
        self,
        address: NodeAddress,
        patience: Patience,
        deadline: Deadline,
        tls: ssl.SSLContext | None,
        listed: Callable[[str, str], Mapping[str, str]],
    ) -> None:
        self._address, self._patience, self._deadline, self._tls = address, patience, deadline, tls
        self._listed = listed

    def present(self, outgoing: Sequence[Outgoing]) -> set[str]:
        """Give the SOP Instance UIDs of those that the node lists; none when it does not answer searches."""
        series = {(item.names.study_uid, item.names.series_uid) for item in outgoing}
        found: set[str] = set()
        try:
            for study_uid, series_uid in sorted(series):
                found |= set(self._listed(study_uid, series_uid))
        except PassingFault:
            raise
        except InputError:
            # A node that only takes and forwards; whatever else is wrong will show when we send.
            return set()
        return found

    def read_back(self, outgoing: Outgoing) -> bytes | None:
        """Fetch one instance by C-GET; None when the node does not offer that or does not hand it out."""
        names = outgoing.names
        asked = {
            "StudyInstanceUID": names.study_uid,
            "SeriesInstanceUID": names.series_uid,
            "SOPInstanceUID": names.uid,
        }
        came: list[bytes] = []
        retrieval = Retrieval(self._address, self._patience, self._deadline, self._tls)
        try:
            retrieval.get("IMAGE", asked, [names.class_uid], came.append)
        except PassingFault:
            raise
        except InputError:
            return None
        return came[0] if len(came) == 1 else None

    def send(self, outgoing: Sequence[Outgoing], tell: Tell) -> None:
        """Store instances in one association; after a broken connection, those that are left in another one."""
        waiting = list(outgoing)

        def send_rest() -> None:
            with associated(
                self._address, _contexts(waiting), self._patience, self._deadline, tls=self._tls
            ) as association:
                while waiting:
                    reason = self._store(association, waiting[0])
                    tell(waiting.pop(0).names.uid, reason)

        persist(send_rest, self._patience, self._deadline)

    def _store(self, association: Association, item: Outgoing) -> str | None:
        """Store one instance; give why it was refused, or None."""
        import pydicom
        from pydicom.uid import UID

        syntax = str(item.dataset.file_meta.TransferSyntaxUID)
        if not accepted_context(association, item.names.class_uid, syntax):
            return f"the node does not take {UID(item.names.class_uid).name} in {UID(syntax).name}"
        # Read again: pynetdicom takes a data set that was never read or written for one in implicit VR.
        status = association.send_c_store(pydicom.dcmread(io.BytesIO(item.content)))
        if "Status" not in status:
            raise lost(self._address, self._patience, self._deadline)
        self._deadline.left_s()
        if is_passing(status.Status):
            raise PassingFault(str(self._address), f"refuses to store: {status_meaning(status.Status)}")
        return None if is_stored(status.Status) else f"it is refused: {status_meaning(status.Status)}"


def _contexts(outgoing: Sequence[Outgoing]) -> list[PresentationContext]:
    """Give one context for each SOP class and transfer syntax that there is."""
    from pynetdicom import build_context

    pairs = dict.fromkeys((item.names.class_uid, str(item.dataset.file_meta.TransferSyntaxUID)) for item in outgoing)
    if len(pairs) > _MOST_CONTEXTS:
        raise ValueError(f"{len(pairs)} kinds of instances are more than one association can take.")
    return [build_context(class_uid, syntax) for class_uid, syntax in pairs]
