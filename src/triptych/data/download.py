"""Files from the Hugging Face hub or their official place: resumable and checked."""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path

from triptych.data.catalog import Entry, RemoteFile
from triptych.data.places import cache_root
from triptych.errors import TriptychError, machine, refused
from triptych.files import put
from triptych.locks import locked
from triptych.progress import Progress

__all__ = ["download"]

CHUNK = 1 << 18
TIMEOUT = 10.0
# A resolver without a network can take half a minute to give up, and no socket
# timeout applies to it.
REACH_SECONDS = 6.0


LOCAL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO)
"""Errors of this machine's disk, which no network gives."""


class _UnreachableError(Exception):
    """Why an address cannot be reached."""


def download(entry: Entry, folder: Path, progress: Progress) -> None:
    """Bring the files that are not in the folder yet, each in its place of a mirror's layout."""
    for remote in entry.remote:
        target = folder / remote.path
        if target.is_file():
            continue
        try:
            if remote.url is None:
                _from_hub(remote, folder)
            else:
                _from_address(remote, remote.url, target, progress)
        except _UnreachableError as why:
            raise TriptychError(
                f"cannot download {entry.name} ({why}); name a local mirror with --data-dir or "
                "TRIPTYCH_DATA, give your own data as --data PATH, or use --data mnist-5k, "
                "which needs no network"
            ) from why


def _from_hub(remote: RemoteFile, folder: Path) -> None:
    """One file of a data set's repository; the hub's client resumes, locks, and draws a bar."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    owner, name, file = remote.path.split("/", 2)
    repository = f"{owner}/{name}"
    if constants.HF_HUB_OFFLINE:
        raise _UnreachableError("HF_HUB_OFFLINE is set")
    # The client tries five times over half a minute before it says that there is no network.
    _reach(constants.ENDPOINT)
    try:
        url = hf_hub_url(repository, file, repo_type="dataset", endpoint=constants.ENDPOINT)
        etag = get_hf_file_metadata(url).etag or ""
        found = hf_hub_download(
            repository, file, repo_type="dataset", local_dir=folder / repository
        )
    except HfHubHTTPError as why:
        raise _UnreachableError(f"the hub answered: {_in_words(why)}") from why
    except Exception as why:
        if isinstance(why, OSError) and why.errno in LOCAL:
            raise refused("write", Path(why.filename or folder), why) from None
        # The client passes on what its HTTP library raises, and that library and
        # its exceptions have changed from version to version.
        raise _UnreachableError(f"{type(why).__name__}: {_in_words(why)}") from why
    if len(etag) == 64:  # what the hub gives for large files is their SHA-256
        _verify(Path(found), Path(found), etag)


def _reach(address: str) -> None:
    """Return once the address answers anything at all; raise if it does not within seconds."""
    answer: list[str] = []

    def ask() -> None:
        try:
            request = urllib.request.Request(address, method="HEAD")
            urllib.request.urlopen(request, timeout=REACH_SECONDS).close()
            answer.append("")
        except urllib.error.HTTPError as refused:
            refused.close()
            answer.append("")
        except (OSError, http.client.HTTPException) as why:
            answer.append(_in_words(why))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(REACH_SECONDS)
    reason = answer[0] if answer else "no answer"
    if reason:
        raise _UnreachableError(f"{address}: {reason}")


def _from_address(remote: RemoteFile, url: str, target: Path, progress: Progress) -> None:
    """Download beside the target, from where an earlier try stopped; rename when checked."""
    _reach(url)
    part = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    locks = cache_root() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with locked(locks / f"{target.name}.lock"):
        if target.is_file():  # another process was faster
            return
        try:
            _append(url, part, progress)
        except urllib.error.HTTPError as why:
            why.close()
            raise _UnreachableError(f"{url} answered {why.code} {why.reason}") from why
        except (OSError, http.client.HTTPException) as why:
            have = part.stat().st_size if part.is_file() else 0
            raise TriptychError(
                f"the download of {url} stopped after {have:,} bytes ({_in_words(why)}); "
                "run the command again to go on from there"
            ) from why
        if remote.sha256 is not None:
            _verify(part, target, remote.sha256)
        part.replace(target)


def _append(url: str, part: Path, progress: Progress) -> None:
    """What the file lacks, added to it; all of it if the server does not know ranges."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as why:
        if why.code == 416 and have:  # nothing lacks: let the checksum decide
            why.close()
            return
        raise
    with response:
        have = have if response.status == 206 else 0
        total = have + int(response.headers.get("Content-Length") or 0)
        # Without a buffer, which the file's closing would try to write once more.
        with part.open("ab" if have else "wb", buffering=0) as file:
            while chunk := response.read(CHUNK):
                with machine("write", part):
                    put(file, chunk)
                have += len(chunk)
                progress(f"downloading {part.stem} (bytes)", have, total)
    if have < total:
        raise http.client.IncompleteRead(b"", total - have)


def _verify(found: Path, target: Path, sha256: str) -> None:
    """Delete a downloaded file that is not the one meant, and say so."""
    with found.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != sha256:
        os.unlink(found)
        raise TriptychError(
            f"what was downloaded for {target} is not the file meant (SHA-256 {actual[:12]}..., "
            f"not {sha256[:12]}...) and was deleted; run the command again"
        )


def _in_words(why: BaseException) -> str:
    reason = why.reason if isinstance(why, urllib.error.URLError) else why
    if isinstance(reason, http.client.IncompleteRead):
        return f"{reason.expected:,} bytes are missing"
    words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return str(words).partition("\n")[0]
