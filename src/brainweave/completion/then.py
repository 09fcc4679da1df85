"""What a user runs on every completed case, such as a segmenter: once per result."""

import json
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainweave.completion.cases import Case
from brainweave.completion.job import Job
from brainweave.data.files import write_json
from brainweave.errors import RecipeError
from brainweave.provenance import facts

_RECORDS = ".then"  # a folder in the output's with a file per case that went well


@dataclass(frozen=True)
class Then:
    """A command as words, without a shell; {case} is a case's folder of what was made, {input} the
    folder of its images."""

    words: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Then":
        """Raises RecipeError for a text that is no command or one that is not installed."""
        try:
            words = tuple(shlex.split(text))
        except ValueError as error:
            raise RecipeError(f"--then {text}: {str(error).lower()}; quote it as a shell") from None
        if not words or shutil.which(words[0]) is None:
            what = words[0] if words else "nothing"
            raise RecipeError(f"--then {text}: {what} is no command that can be run here")
        return cls(words)

    def done(self, job: Job, case: Case) -> bool:
        """Whether this very command went well on these very volumes."""
        try:
            return json.loads(_record(job, case).read_text()) == self._facts(job, case)
        except (FileNotFoundError, ValueError):
            return False

    def run(self, job: Job, case: Case) -> str | None:
        """Runs it; what went wrong, if anything did."""
        places = {"{case}": (job.folder / case.home).resolve(), "{input}": case.source}
        words = []
        for word in self.words:
            for mark, place in places.items():
                word = word.replace(mark, str(place))
            words.append(word)
        try:
            code = subprocess.run(words, check=False).returncode
        except OSError as error:
            return f"{error.strerror}"
        if code:
            return f"exit code {code}" if code > 0 else f"signal {-code}"
        write_json(_record(job, case), self._facts(job, case))
        return None

    def _facts(self, job: Job, case: Case) -> dict[str, Any]:
        made = {o.path.name: facts(o.path).get("identity") for o in job.outputs(case)}
        return {"command": list(self.words), "volumes": made}


def _record(job: Job, case: Case) -> Path:
    return job.folder / _RECORDS / f"{case.id}.json"
