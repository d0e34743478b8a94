"""Configuration: flags over environment (LINEAGE_..., nested with __) over lineage.toml over these defaults.

Every key has its unit in its name and a sentence in ``description``; docs/configuration.md lists them all (tested).
Unknown keys and values that do not fit are errors that name the key. ELASTICSEARCH_URL, ELASTICSEARCH_API_KEY,
ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD are read as well, since every Elastic tool reads them.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from pipeline.errors import ConfigError

MIB = 1024 * 1024
KEPT_MOST = 16_777_216  # 32 GiB of processes: more than that is a slip of the pen
DEFAULT_FILES = (Path("lineage.toml"), Path("/etc/lineage/lineage.toml"))
API_SOCKET = Path("/run/lineage/lineage.sock")
SOCKET_PATH_MAX = 107  # bytes: sun_path of unix(7), less its NUL
STATE_OF_ROOT = Path("/var/lib/lineage")
ELASTIC_VARIABLES = {
    "ELASTICSEARCH_URL": "url",
    "ELASTICSEARCH_API_KEY": "api_key",
    "ELASTICSEARCH_USERNAME": "username",
    "ELASTICSEARCH_PASSWORD": "password",
}
LISTS = {
    "mask_patterns": '["secret=.+"]',
    "environment_names": '["LD_PRELOAD"]',
    "drop_uids": "[65534]",
    "drop_cgroups": '["/system.slice/x.service"]',
}
"""Keys that hold a list, and what one looks like."""
VALUE_SHOWN_MAX = 80  # characters; a longer value says nothing in an error of one line


class Elasticsearch(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str | None = Field(None, description="Address of the cluster, http:// or https://; unset: the local store.")
    api_key: SecretStr | None = Field(None, description="Encoded API key.")
    username: str | None = Field(None, description="User for basic authentication; needs password.")
    password: SecretStr | None = Field(None, description="Its password.")
    ca_certs: Path | None = Field(None, description="File of certificate authorities to trust.")
    verify_certs: bool = Field(True, description="Whether to check the server's certificate.")
    compress: bool | None = Field(
        None,
        description="gzip request bodies, eight times the client's CPU; unset: not on loopback and private networks.",
    )
    request_timeout_s: float = Field(30.0, gt=0, description="A bulk request not answered by then is sent again.")
    bulk_max_documents: int = Field(1000, ge=1, le=10_000, description="Documents in one bulk request at most.")
    bulk_max_bytes: int = Field(5 * MIB, ge=64 * 1024, description="Bytes in one bulk request at most.")
    in_flight_max: int = Field(2, ge=1, le=16, description="Bulk requests at the same time.")

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://, for example http://127.0.0.1:9200")
        return url


def _state_directory() -> Path:
    if os.geteuid() == 0:
        return STATE_OF_ROOT
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "lineage"


class Config(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="LINEAGE_",
        env_nested_delimiter="__",
        extra="forbid",
        validate_default=True,
        nested_model_default_partial_update=True,
    )

    namespace: str = Field(
        "default",
        pattern=r"^[a-z0-9_.]{1,100}$",
        description="Last part of the data stream's name; one an environment.",
    )
    elasticsearch: Elasticsearch = Field(default_factory=Elasticsearch, description="Where to send; see its own keys.")
    state_directory: Path = Field(
        default_factory=_state_directory,
        description="Holds the local store, the dead letter file and the clock offset.",
    )
    store: Path | None = Field(None, description="The local store; unset: events.db in state_directory.")
    store_max_bytes: int = Field(
        1024 * MIB, ge=MIB, description="Size of the local store; the oldest documents go first."
    )
    dead_letters_max_bytes: int = Field(
        64 * MIB, ge=0, description="Size of the file that keeps what Elasticsearch refused."
    )

    ring_bytes: int = Field(
        8 * MIB, ge=64 * 1024, le=1024 * MIB, description="Kernel ring; a power of two. Holds seconds of events."
    )
    drain_interval_ms: int = Field(50, ge=1, le=10_000, description="The ring is emptied at least this often.")
    repair_interval_s: float = Field(
        1.0, gt=0, description="After a loss all that runs is looked at again, at most once in this time."
    )
    account: str = Field(
        "lineage", description="Account the agent becomes after start, if it exists; else an unused uid."
    )
    container_runtime: str | None = Field(
        None,
        description="docker:SOCKET, containerd:SOCKET or cri:SOCKET: asked for names of containers; unset: nobody is.",
    )
    kernel_headers: Path | None = Field(None, description="Folder of kernel headers, any version; unset: looked for.")

    environment_names: list[str] = Field(
        default=["LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "GCONV_PATH", "BASH_ENV", "PYTHONSTARTUP", "SUDO_USER"],
        max_length=16,
        description="Variables of an exec's environment that are told, by name; nothing else of it leaves the process.",
    )
    drop_uids: list[Annotated[int, Field(ge=0, le=0xFFFFFFFF)]] = Field(
        default=[],
        max_length=64,
        description="No documents and no detail of processes with these effective user ids, as the host counts them.",
    )
    drop_cgroups: list[Path] = Field(
        default=[],
        max_length=16,
        description="Likewise of processes in these cgroups (v2) and below, as they are at the start: "
        "one that is made again is another.",
    )
    drop_containers: Literal["none", "inside", "outside"] = Field(
        "none", description="Likewise of processes inside, or outside, of pid namespaces other than the host's."
    )
    drop_kernel_threads: bool = Field(False, description="Likewise of kernel threads.")
    drop_own_process: bool = Field(False, description="Likewise of the agent itself.")

    processes_max: int = Field(
        32768,
        ge=64,
        le=KEPT_MOST,
        description="Processes the tree knows; ended ones without living descendants go first.",
    )
    threads_max: int = Field(
        32768, ge=64, le=KEPT_MOST, description="Threads the tree knows beside group leaders; ended ones go first."
    )
    versions_max: int = Field(
        256,
        ge=8,
        le=65_536,
        description="Versions of one process the tree knows; those that began with an exec go last.",
    )
    artifacts_max: int = Field(
        64, ge=1, le=65_536, description="What one process did that the tree knows, of each kind; the oldest go first."
    )
    texts_max_bytes: int = Field(
        128 * MIB, ge=0, description="What the tree keeps of arguments and long paths; beyond, only their beginning."
    )
    tree_source: Literal["none", "events", "signals", "both"] = Field(
        "both", description="What the tree is built from: the live stream (events), walks over all that runs (signals)."
    )

    mask_patterns: list[str] = Field(
        default=[
            r"(?i)(?<=--password=).+",
            r"(?i)(?<=--passwd=).+",
            r"(?i)(?<=--token=).+",
            r"(?i)(?<=--secret=).+",
            r"(?i)(?<=--api-key=).+",
            r"(?i)(?<=password=)[^\s&;]+",
            r"(?i)(?<=authorization: bearer )\S+",
            r"(?i)(?<=authorization: basic )\S+",
            r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)",
        ],
        description="Regular expressions; what they match in an argument or a variable is replaced by ***.",
    )

    outbox_max_bytes: int = Field(64 * MIB, ge=MIB, description="Documents waiting for the sink, in memory.")
    outbox_hold_s: float = Field(30.0, ge=0, description="How long a full outbox waits before it drops the oldest.")
    outbox_full: Literal["drop", "block"] = Field(
        "drop",
        description="drop: after outbox_hold_s the oldest go, counted; block: wait, so that the ring may lose records.",
    )
    flush_age_ms: int = Field(
        500, ge=1, le=60_000, description="A document waits at most this long for its batch to fill."
    )
    retry_pause_max_s: float = Field(30.0, gt=0, description="Longest pause between two tries of the same batch.")
    shutdown_s: float = Field(15.0, ge=0, description="At the end, how long to go on delivering what is left.")

    api_socket: str = Field(
        str(API_SOCKET), description="Unix socket on which a running agent answers questions; empty: none."
    )
    api_socket_group: str | None = Field(
        None, description="Group that may use the socket; unset: nobody but who started the agent, and root."
    )
    api_address: str | None = Field(
        None, description="HOST:PORT to answer on as well, for who sends api_token; unset: no TCP."
    )
    api_token: SecretStr | None = Field(
        None, description="What must be sent over TCP, Authorization: Bearer; 16 characters or more."
    )
    api_requests_max: int = Field(8, ge=1, le=1024, description="Questions answered at once; more are refused.")
    api_rows_max: int = Field(10_000, ge=1, le=1_000_000, description="Processes in one answer; it says so if more.")
    api_timeout_s: float = Field(30.0, gt=0, description="An answer that is not made and read by then is broken off.")

    @field_validator("api_socket")
    @classmethod
    def _is_path_of_a_socket(cls, path: str) -> str:
        if path and (not path.startswith("/") or len(os.fsencode(path)) > SOCKET_PATH_MAX or "\0" in path):
            raise ValueError(f"must be an absolute path of at most {SOCKET_PATH_MAX} bytes, or empty")
        return path

    @field_validator("api_address")
    @classmethod
    def _is_host_and_port(cls, address: str | None) -> str | None:
        if address is not None:
            host, _, port = address.rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) <= 0xFFFF:
                raise ValueError("must be a host and a port, for example 127.0.0.1:9300 or [::1]:9300")
        return address

    @field_validator("api_token")
    @classmethod
    def _is_hard_to_guess(cls, token: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if token is None and info.data.get("api_address") is not None:
            raise ValueError("must be set where api_address is: nobody is answered over TCP without it")
        if token is not None and re.fullmatch(r"[A-Za-z0-9._~+/=-]{16,1024}", token.get_secret_value()) is None:
            raise ValueError("must be 16 letters, digits or ._~+/=- at least, for example from `openssl rand -hex 32`")
        return token

    @field_validator(*LISTS, mode="before")
    @classmethod
    def _from_text(cls, listed: Any, info: ValidationInfo) -> Any:
        """One flag is one string: a list in it is written as JSON, as in the environment."""
        if isinstance(listed, str):
            try:
                listed = json.loads(listed)
            except ValueError:
                listed = None
        if not isinstance(listed, list | tuple):
            raise ValueError(f"must be a list, written as JSON, for example {LISTS[info.field_name or '']}")
        return listed

    @field_validator("environment_names")
    @classmethod
    def _are_names(cls, names: list[str]) -> list[str]:
        for name in names:
            if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,30}", name) is None:
                raise ValueError(f"{name!r} is no name of a variable of at most 31 letters, digits and _")
        return names

    @field_validator("mask_patterns")
    @classmethod
    def _compile(cls, patterns: list[str]) -> list[str]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return patterns

    @field_validator("container_runtime")
    @classmethod
    def _kind_and_socket(cls, spec: str | None) -> str | None:
        if spec is not None and not re.fullmatch(r"(docker|containerd|cri):/.+", spec):
            raise ValueError("must be docker:, containerd: or cri: and a socket, for example docker:/run/docker.sock")
        return spec

    @field_validator("ring_bytes")
    @classmethod
    def _power_of_two(cls, size: int) -> int:
        if size & (size - 1):
            raise ValueError("must be a power of two, for example 8388608")
        return size

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _Elastic(settings_cls), env_settings, _Toml(settings_cls)


class _Elastic(PydanticBaseSettingsSource):
    """ELASTICSEARCH_URL and its kin."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        given = {key: os.environ[name] for name, key in ELASTIC_VARIABLES.items() if os.environ.get(name)}
        return {"elasticsearch": given} if given else {}


class _Toml(TomlConfigSettingsSource):
    """The file that ``load`` chose."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls, _chosen_file.get())


_chosen_file: ContextVar[Path | None] = ContextVar("lineage.toml", default=None)


def load(flags: Mapping[str, Any] | None = None, file: Path | None = None) -> Config:
    """Read every layer. ``flags``: the keys of the command line, nested; ``file``: a TOML file that must exist.

    Without ``file``: ./lineage.toml, else /etc/lineage/lineage.toml, else none. Raises ConfigError, one line.
    """
    if file is None:
        file = next((f for f in DEFAULT_FILES if f.is_file()), None)
    elif not file.is_file():
        raise ConfigError(
            f"configuration file {file} does not exist or is no file", "give an existing one with --config"
        )
    _refuse_unknown_variables()
    token = _chosen_file.set(file)
    try:
        return Config(**(flags or {}))
    except ValidationError as error:
        raise ConfigError(_explain(error, file), "`lineage run --print-config` shows every key") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is no TOML: {error}", "mend that line") from error
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}", "give another with --config") from error
    except SettingsError as error:
        raise ConfigError(f"an environment variable cannot be read: {error}", "lists are written as JSON") from error
    finally:
        _chosen_file.reset(token)


def keys() -> dict[str, str]:
    """Every key, dotted, and its sentence."""
    listed: dict[str, str] = {}
    for name, info in Config.model_fields.items():
        if name == "elasticsearch":
            listed |= {f"elasticsearch.{n}": i.description or "" for n, i in Elasticsearch.model_fields.items()}
        else:
            listed[name] = info.description or ""
    return listed


def _refuse_unknown_variables() -> None:
    """A misspelt variable would silently change nothing."""
    prefix = "LINEAGE_"
    known = {key.replace(".", "__").upper() for key in keys()} | {"ELASTICSEARCH"}
    for name in os.environ:
        key = name.upper().removeprefix(prefix)
        if name.upper().startswith(prefix) and key not in known:
            # without the prefix, which would make any two names alike
            close = difflib.get_close_matches(key, known, n=1)
            raise ConfigError(
                f"unknown environment variable {name}", f"did you mean {prefix}{close[0]}?" if close else "unset it"
            )


def _explain(error: ValidationError, file: Path | None) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key, keys(), n=1)
        return (
            f"unknown configuration key {key}"
            + (f" in {file}" if file else "")
            + (f" (did you mean {close[0]}?)" if close else "")
        )
    if first["type"] == "too_long":
        return f"configuration key {key}: at most {first['ctx']['max_length']}, not {first['ctx']['actual_length']}"
    secret = any(word in key for word in ("password", "api_key", "token"))
    value = f" = {first['input']!r}"
    if secret or len(value) > VALUE_SHOWN_MAX:
        value = ""
    return f"configuration key {key}{value}: {first['msg'].removeprefix('Value error, ')}"


def shown(url: str | None) -> str:
    """The address without user and password, for messages."""
    scheme, separator, rest = (url or "").partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}".rstrip("/")
