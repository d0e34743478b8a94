"""What of the scenarios cannot be produced on the machines of the tests, by name, with the reason."""

NOT_HERE = {
    "suspend": "no machine of the tests can be suspended; all times are CLOCK_BOOTTIME's, which goes on meanwhile",
    "clock_stepped_for_real": "the host's clock is not the tests' to set; the source is given one that steps",
    "serial_terminal": "few machines have a serial line that nobody uses; elsewhere the tree alone is tested",
    "console_terminal": "without a virtual console that nobody uses the tree alone is tested",
    "ssh_login": "no ssh daemon and no network: processes with its programs' names do what it does",
    "session_manager_login": "its agent needs its cloud: processes with its names do what it does",
    "rename_of_another_process": "the kernel takes a write to comm from the process's own threads alone",
    "rename_of_a_kernel_thread": "only the kernel renames its threads, when it makes or reuses them",
    "other_runtimes": "crun refuses hybrid cgroups, for others no image can be pulled: their cgroups are made by hand",
    "32_bit_calls": "int 0x80 is x86's alone, and a kernel may be built without it",
    "time_namespaces": "they came with Linux 5.6, and a kernel may be built without them",
    "user_namespaces": "some systems give them to root alone",
}
