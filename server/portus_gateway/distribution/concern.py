"""Which part of the client's configuration an error is about, as data: the client does not know the settings' names."""

from enum import Enum, auto


class Concern(Enum):
    """A part of `Configuration` that its owner may have to change."""

    REGISTRY_URL = auto()
    """`url`."""
    ACCOUNT = auto()
    """`credentials`: the user name and the password."""
    NO_ACCOUNT = auto()
    """`credentials`: there are none, and they are needed."""
    PASSWORD_FILE = auto()
    """The file of a `PasswordFile`."""
    AUTHENTICATION = auto()
    """`authentication`."""
    TOKEN_REALM = auto()
    """`token_realm`."""
    BLOB_ORIGINS = auto()
    """`blob_origins`."""
    CA_FILE = auto()
    """`ca_file`."""
    OPEN_FILES = auto()
    """The process's limit of open files, which is not part of `Configuration`."""
    ENVIRONMENT_PROXY = auto()
    """`use_environment_proxy`, and the variables that name the proxy."""
