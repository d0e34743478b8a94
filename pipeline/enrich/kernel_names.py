"""Names of the kernel's numbers, the same on whatever host a recording is replayed: capabilities, securebits, signals.

From include/uapi/linux/capability.h, securebits.h and asm-generic/signal.h (x86-64, arm64 and most others).
"""

from __future__ import annotations

from collections.abc import Sequence

_CAPABILITIES = (  # noqa: SIM905 - a list of this length reads better as words
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()

ALL_CAPABILITIES = (1 << len(_CAPABILITIES)) - 1
"""Those that Linux 5.9 and later know: 41."""

_SECUREBITS = (  # noqa: SIM905
    "NOROOT NOROOT_LOCKED NO_SETUID_FIXUP NO_SETUID_FIXUP_LOCKED KEEP_CAPS KEEP_CAPS_LOCKED NO_CAP_AMBIENT_RAISE "
    "NO_CAP_AMBIENT_RAISE_LOCKED EXEC_RESTRICT_FILE EXEC_RESTRICT_FILE_LOCKED EXEC_DENY_INTERACTIVE "
    "EXEC_DENY_INTERACTIVE_LOCKED"
).split()

_SIGNALS = (  # noqa: SIM905
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG "
    "XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
).split()


def capabilities(mask: int) -> list[str]:
    """``CAP_...`` names of a capability set, lowest bit first; a bit newer than this list is ``CAP_<number>``."""
    return _names("CAP_", _CAPABILITIES, mask)


def securebits(mask: int) -> list[str]:
    """``SECBIT_...`` names of a thread's securebits, likewise."""
    return _names("SECBIT_", _SECUREBITS, mask)


def _names(prefix: str, names: Sequence[str], mask: int) -> list[str]:
    return [f"{prefix}{names[bit]}" if bit < len(names) else f"{prefix}{bit}" for bit in range(64) if mask >> bit & 1]


def signal_name(number: int) -> str:
    """``SIGKILL``; ``signal 34`` for a real-time one."""
    return f"SIG{_SIGNALS[number - 1]}" if 1 <= number <= len(_SIGNALS) else f"signal {number}"
