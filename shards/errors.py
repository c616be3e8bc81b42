class DatasetError(ValueError):
    """The dataset on disk is not as it should be; the message names the file and says what to do."""


class StorageError(OSError):
    """What holds the dataset cannot be reached or refuses; the message says where, why and what to do."""
