"""Which micrograph of CryoSPARC a name means: paths differ from program to program, and CryoSPARC adds uids to names.

A micrograph that CryoSPARC imports or writes is named ``<uid, 21 digits>_<name>``; one that it imported again carries
two such numbers, the newest first.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from relion_attn_picker.errors import InputError

UID_PREFIX: Final = re.compile(r"(\d{21})_")
UID_PREFIXES: Final = re.compile(rf"^(?:{UID_PREFIX.pattern})+")


class MicrographFinder:
    """Finds micrographs of CryoSPARC by the names that other programs have for them.

    A name means the micrograph whose file name is the same; of several, the one whose whole path ends the name. If
    there is none, the one whose uid the file name begins with; at last the one whose file name is the same after
    taking uids off both.

    Parameters
    ----------
    uids, paths
        Of all micrographs.
    """

    def __init__(self, uids: Sequence[int], paths: Sequence[str]) -> None:
        self._paths = [path.lstrip("/") for path in paths]
        self._by_uid = {uid: index for index, uid in enumerate(uids) if uid}
        self._by_file: dict[str, list[int]] = defaultdict(list)
        self._by_plain_file: dict[str, list[int]] = defaultdict(list)
        for index, path in enumerate(paths):
            file = PurePosixPath(path).name
            self._by_file[file].append(index)
            self._by_plain_file[UID_PREFIXES.sub("", file)].append(index)

    def find(self, name: str) -> int | None:
        """Return the number of the micrograph that ``name`` means, ``None`` if there is none.

        Raises
        ------
        InputError
            If the name fits several.
        """
        file = PurePosixPath(name).name
        if file in self._by_file:
            return self._choose(name, self._by_file[file])
        prefix = UID_PREFIX.match(file)
        if prefix and int(prefix[1]) in self._by_uid:
            return self._by_uid[int(prefix[1])]
        return self._choose(name, self._by_plain_file.get(UID_PREFIXES.sub("", file), []))

    def _choose(self, name: str, candidates: Sequence[int]) -> int | None:
        if len(candidates) > 1:
            by_path = [index for index in candidates if f"/{name}".endswith(f"/{self._paths[index]}")]
            if len(by_path) != 1:
                raise InputError(
                    f"The micrograph {name} fits {len(candidates)} micrographs of CryoSPARC, among them "
                    f"{self._paths[candidates[0]]} and {self._paths[candidates[1]]}: use names with their folders."
                )
            candidates = by_path
        return candidates[0] if candidates else None

    def find_all(self, names: Sequence[str]) -> dict[str, int]:
        """Return the micrograph of each name that has one.

        Raises
        ------
        InputError
            If a name fits several micrographs, or two names the same one.
        """
        found: dict[str, int] = {}
        owners: dict[int, str] = {}
        for name in names:
            index = self.find(name)
            if index is None:
                continue
            if index in owners:
                raise InputError(
                    f"{owners[index]} and {name} both mean the micrograph {self._paths[index]} of CryoSPARC: leave "
                    "out one of them."
                )
            owners[index], found[name] = name, index
        return found
