"""The results file: one JSON object, replaced atomically after each piece."""

import datetime
import hashlib
import json
import os
import pathlib

from .outcome import CUT, FAILED, PASSED

FORMAT = 1


def digest_of(binaries):
    """Identifies a build. In an archive, bin/ has launchers and libexec/ has the programs."""
    digest = hashlib.sha256()
    for name in ("step-bench", "kernel-bench", "residua-tests", "train-imagenet"):
        for folder in (pathlib.Path(binaries).parent / "libexec", pathlib.Path(binaries)):
            if (folder / name).exists():
                digest.update((folder / name).read_bytes())
                break
    return digest.hexdigest()[:16]


class Record:
    """Results by piece. Drops results of another device, and results of another build unless the piece allows them."""

    def __init__(self, path, machine, build):
        self.path, self.build = pathlib.Path(path), build
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            fits = content["format"] == FORMAT and all(content[name] == value for name, value in machine.items())
            self.pieces = dict(content["pieces"]) if fits else {}
        except (OSError, ValueError, KeyError, TypeError):
            self.pieces = {}
        self.machine = machine

    def entry(self, piece):
        """The recorded result of a piece, or None."""
        entry = self.pieces.get(piece.key)
        return None if entry is None or (piece.of_this_build and entry["build"] != self.build) else entry

    def results(self):
        """The results of passed pieces, by key."""
        return {key: entry for key, entry in self.pieces.items() if entry["status"] == PASSED}

    def drop_other_builds(self, pieces):
        keys = {piece.key for piece in pieces if self.entry(piece) is not None}
        self.pieces = {key: entry for key, entry in self.pieces.items() if key in keys}

    def settled(self, piece):
        """Whether the piece passed or failed; a piece that could not run may be able to now."""
        entry = self.entry(piece)
        return entry is not None and entry["status"] in (PASSED, FAILED)

    def ran_before_cut_s(self, piece):
        entry = self.entry(piece)
        return entry["seconds"] if entry is not None and entry["status"] == CUT else 0.0

    def put(self, piece, status, summary, seconds, found):
        date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        self.pieces[piece.key] = {**found, "status": status, "summary": summary, "seconds": round(seconds, 1), "date": date, "build": self.build}
        self.save()

    def forget(self, pieces):
        for piece in pieces:
            self.pieces.pop(piece.key, None)

    def save(self, **more):
        content = {"format": FORMAT, **self.machine, **more, "pieces": self.pieces}
        temporary = self.path.with_name(self.path.name + ".new")
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)
