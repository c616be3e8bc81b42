class DatasetError(ValueError):
    """The dataset on disk is damaged or incomplete; the message names the file and says what to do."""


class StorageError(OSError):
    """The storage cannot be reached or denies access; the message says where, why and what to do."""
