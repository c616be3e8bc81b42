class DatasetError(ValueError):
    """The dataset on disk is not as it should be; the message names the file and says what to do."""
