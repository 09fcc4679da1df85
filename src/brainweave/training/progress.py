"""What a run says while it works: a bar on a terminal, a plain line every 30 s in a log."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

EVERY = 30.0  # seconds between plain lines


class Reporter:
    """Lines and bars on standard error. quiet: says nothing, as all processes but the first."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
        self.quiet = quiet
        self.bar: Progress | None = None

    def say(self, line: str) -> None:
        """One line."""
        if self.quiet:
            return
        if self.console.is_terminal:
            self.console.print(line, markup=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def start(self, title: str, total: int, done: int = 0) -> None:
        """Begins to count towards `total`; what was counted before is over."""
        self.stop()
        self.title, self.total, self.done = title, total, done
        self.first, self.began, self.spoke = done, time.monotonic(), time.monotonic()
        if self.console.is_terminal and not self.quiet:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[facts]}"),
            )
            self.bar = Progress(*columns, console=self.console)
            self.bar.start()
            self.bar.add_task(title, total=total, completed=done, facts="")

    def advance(self, facts: str = "") -> None:
        """One more is done; `facts` describe it."""
        self.done += 1
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=self.done, facts=facts)
        elif time.monotonic() - self.spoke > EVERY:
            self.spoke = time.monotonic()
            self.say(f"{self.title} {self.done}/{self.total}, {self._left()} left {facts}".rstrip())

    def stop(self) -> None:
        """Ends the bar."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _left(self) -> str:
        """The time to the end at the pace so far."""
        pace = (time.monotonic() - self.began) / max(1, self.done - self.first)
        minutes, seconds = divmod(round(pace * (self.total - self.done)), 60)
        return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
