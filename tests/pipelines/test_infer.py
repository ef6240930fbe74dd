def test_x(smoke_run):
    assert smoke_run.bundle.is_dir()
