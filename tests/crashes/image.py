"""A file system in a file, whose power can be cut; needs root.

The cut is an ioctl that ext4 and XFS know: the file system goes down at once, and what it had not written to its
device is gone, as are the names it had not written. What the device holds is then mounted again.
"""

import fcntl
import os
import subprocess
import threading
from pathlib import Path
from typing import Final

SHUTDOWN: Final = 0x8004587D
"""EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN: the same number."""

WITHOUT_LOG: Final = (2).to_bytes(4, "little")
"""Do not even write the log of the file system."""

SIZES: Final = {"ext4": 64, "xfs": 320}
"""Mebibytes; XFS takes no less than 300."""

PATIENCE: Final = 400
"""So often it is tried to unmount: a child of the program that was killed may take a moment to see it."""


class Image:
    """A mounted file system."""

    def __init__(self, folder: Path, kind: str, *, size_mib: int | None = None) -> None:
        """Make it and mount it, under a folder that is not on it."""
        self.kind = kind
        self.file = folder / f"{kind}.img"
        self.mount_point = folder / kind
        self.mount_point.mkdir()
        with self.file.open("wb") as file:
            file.truncate((size_mib or SIZES[kind]) * 1024 * 1024)
        options = {"ext4": ["-q", "-F"], "xfs": ["-q", "-f"]}[kind]
        subprocess.run([f"/sbin/mkfs.{kind}", *options, str(self.file)], check=True)
        self.mount()

    def mount(self) -> None:
        subprocess.run(["/bin/mount", "-o", "loop", str(self.file), str(self.mount_point)], check=True)

    def unmount(self) -> None:
        unmount(self.mount_point)

    def cut_power(self) -> None:
        fd = os.open(self.mount_point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, WITHOUT_LOG)
        finally:
            os.close(fd)

    def restore_power(self) -> None:
        """Mount again what the device holds, once nobody uses the old one any more."""
        self.unmount()
        self.mount()

    def discard(self) -> None:
        self.unmount()
        self.file.unlink()


def unmount(mount_point: Path) -> None:
    for _ in range(PATIENCE):
        run = subprocess.run(["/bin/umount", str(mount_point)], capture_output=True, text=True, check=False)
        if run.returncode == 0:
            return
        threading.Event().wait(0.025)
    raise OSError(f"cannot unmount {mount_point}: {run.stderr}")


def mount_tmpfs(mount_point: Path, options: str) -> None:
    mount_point.mkdir()
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", options, "tmpfs", str(mount_point)], check=True)
