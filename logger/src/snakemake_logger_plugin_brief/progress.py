"""How far a run has come, and how long it will still take."""

from collections import Counter, defaultdict
from collections.abc import Mapping

from snakemake_logger_plugin_brief.words import duration, some


class Progress:
    """Counts jobs.

    Parameters
    ----------
    counted : mapping of str to str
        Things that are counted beside jobs, such as samples, with the rule whose job is the last
        of each.
    """

    def __init__(self, counted: Mapping[str, str]) -> None:
        self._counted = counted
        self._planned: Counter[str] = Counter()
        self._finished: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._running: dict[int, tuple[str, float]] = {}
        self._first: float | None = None
        self.done = self.total = 0

    def plan(self, jobs: Mapping[str, int]) -> None:
        """Take up how many jobs of each rule there are."""
        self._planned = Counter(jobs)
        self.total = self._planned.pop("total", sum(jobs.values()))

    def start(self, job: int, rule: str, now: float) -> None:
        """Note that a job starts at a time [s]; once more if it is tried again."""
        self._first = now if self._first is None else self._first
        self._running[job] = rule, now

    def stop(self, job: int) -> None:
        """Note that a job has failed."""
        self._running.pop(job, None)

    def finish(self, job: int, now: float) -> None:
        """Note that a job has ended well at a time [s]."""
        rule, since = self._running.pop(job, ("", now))
        self._finished[rule] += 1
        self._seconds[rule] += now - since

    def line(self, now: float) -> str:
        """Say how far the run has come at a time [s], and how long it will take."""
        left = self._left(now) if self.done < self.total else ""
        running = dict.fromkeys(rule for rule, _ in self._running.values())
        parts = filter(None, [self.counts(), left])
        return ", ".join(parts) + (f": {', '.join(running)}" if running else "")

    def counts(self) -> str:
        """Say how many jobs have ended, and how many of what else is counted."""
        parts = [f"{self.done} of {some(self.total, 'job')}"]
        parts += [
            f"{self._finished[rule]} of {self._planned[rule]} {things}"
            for things, rule in self._counted.items()
            if self._planned[rule]
        ]
        return ", ".join(parts)

    def elapsed(self, now: float) -> float:
        """Time since the first job has started [s]."""
        return 0.0 if self._first is None else now - self._first

    def _left(self, now: float) -> str:
        """Say how long the jobs that are left will take: as long as those of their rules did.

        Of a rule of which no job has ended, nothing is known.
        """
        work, unknown = 0.0, False
        for rule, planned in self._planned.items():
            left = planned - self._finished[rule]
            if left and self._finished[rule]:
                work += left * self._seconds[rule] / self._finished[rule]
            unknown |= bool(left) and not self._finished[rule]
        work -= sum(
            min(now - since, self._seconds[rule] / self._finished[rule])
            for rule, since in self._running.values()
            if self._finished[rule]
        )
        elapsed, spent = self.elapsed(now), sum(self._seconds.values())
        if not work or not spent or not elapsed:
            return ""
        at_a_time = max(1.0, spent / elapsed)
        return f"{'more than' if unknown else 'about'} {duration(work / at_a_time)} left"
