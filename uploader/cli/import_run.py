"""An import from its walk to its report; the sending between is `import_wait`'s."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from uploader.app.values import (
    IMPORT_REST_SECONDS,
    bucket_of,
    open_beside,
    place_of_import,
    register,
    root_of,
    spec_of_import,
)
from uploader.cli.common import Context
from uploader.cli.import_ import Request
from uploader.cli.import_screen import Screen, reason_documents
from uploader.cli.import_wait import End, Ended, Interrupt, Waiting, daemon_runs, interruptible
from uploader.cli.rendering import recordings
from uploader.errors import (
    ServiceRefusal,
    UploaderError,
    UsageError,
)
from uploader.ledger.discovery import ImportRow
from uploader.ledger.filters import Filter
from uploader.ledger.imports import Added
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import to_ms
from uploader.pipeline.places import FolderNames
from uploader.platform.clock import SystemClock
from uploader.platform.s3 import Bucket
from uploader.service.imports.entering import Entering
from uploader.service.imports.finding import Found, Spool, Walk, batches
from uploader.service.imports.plan import Plan
from uploader.service.imports.rehearsal import Rehearsal
from uploader.service.imports.report import Report
from uploader.service.imports.targets import Targets
from uploader.service.imports.watch import Wait
from uploader.settings.model import Settings, SourceSettings
from uploader.settings.order import PSEUDO_SOURCE, ImportOrder
from uploader.sources.folder.rules import Rules

NEEDS_ATTENTION = 1
INTERRUPTED = 130


def run(
    context: Context,
    settings: Settings,
    order: ImportOrder,
    targets: Targets,
    request: Request,
    named: SourceSettings | None,
) -> int:
    """Import `order` and return the exit code. `named` is the source that was asked for, as configured."""
    with interruptible() as interrupt:
        work = Importing(context, settings, order, targets, request, named, interrupt)
        return work.rehearse() if request.dry_run else work.carry_out()


class Importing:
    """One import in this process."""

    def __init__(
        self, context: Context, settings: Settings, order: ImportOrder, targets: Targets, request: Request,
        named: SourceSettings | None, interrupt: Interrupt,
    ) -> None:  # fmt: skip
        self._context = context
        self._settings = settings
        self._order = order
        self._targets = targets
        self._request = request
        self._named = named
        self._interrupt = interrupt
        self._clock = SystemClock()
        self._screen = Screen(context)
        if self._screen.draws:
            # The bar counts what the log would tell of one by one.
            context.start_logging(level="error")
        self._name = request.name or order.default_name
        self._waiting = Waiting(context, self._screen, settings, order, request.wait, interrupt)

    def rehearse(self) -> int:
        """Judge every recording and say what would happen; write nothing."""
        path = Path(self._settings.ledger.path)
        ledger = open_beside(self._settings) if path.exists() else None
        try:
            known = None if ledger is None else self._known(ledger)
            with closing(Spool()) as spool:
                plan = self._find(spool, ledger, known)
                if plan is None:
                    return self._nothing_written()
                return self._judge(spool, plan, ledger, known)
        finally:
            self._screen.end()
            if ledger is not None:
                ledger.close()

    def carry_out(self) -> int:
        """Find, plan, write into the ledger, and see it through."""
        with closing(open_beside(self._settings)) as ledger, closing(Spool()) as spool:
            zoom = self._settings.zoom
            ledger.belongs_to(account_id=zoom.account_id, api_url=zoom.api_url)
            known = self._known(ledger)
            if self._request.detach and not daemon_runs(ledger):
                raise UsageError("no daemon is running to hand it over to", hint="start it, or leave --detach out")
            plan = self._find(spool, ledger, known)
            if plan is None:
                return self._nothing_written()
            self._screen.plan(plan, self._settings.budget, self._waiting.outlook(ledger))
            row = self._begin(ledger)
            added = self._enter(ledger, row, spool, plan)
            self._tell_added(added)
            if not self._request.detach:
                ledger.close()
        if self._interrupt.is_set():
            return self._finish(row, plan, Ended(end=End.INTERRUPTED))
        if self._request.detach:
            return self._detached(row)
        return self._finish(row, plan, self._waiting.see_through(row))

    def _known(self, ledger: Ledger) -> ImportRow | None:
        """Return the import of this name, if there is one. Raises UsageError when it is another."""
        found = next((one for one in ledger.discovery.imports() if one.name == self._name), None)
        if found is not None and ImportOrder.from_document(found.settings).key != self._order.key:
            raise UsageError(
                "an import of that name was begun with other paths or settings",
                hint="give another --name, or the same paths and settings to resume it",
            )
        return found

    def _find(self, spool: Spool, ledger: Ledger | None, known: ImportRow | None) -> Plan | None:
        """Walk all of it; return the plan, or None when it was interrupted."""
        rules = Rules(include=self._order.source.include, exclude=self._order.source.exclude)
        base = root_of(self._named) if self._named is not None and self._named.type == "folder" else b""
        walk, count = Walk(rules, base=base), 0
        self._screen.begin("looking", None)
        found: Iterator[Found]
        if self._targets.bucket:
            found = (one for bucket in self._buckets() for one in walk.objects(bucket, stop=self._interrupt))
        else:
            found = walk.files(self._targets.targets, stop=self._interrupt)
        for part in batches(found):
            spool.add(part)
            count += len(part)
            self._screen.counted(count, "found")
            if self._interrupt.is_set():
                return None
        self._screen.end()
        if self._interrupt.is_set():
            return None
        return self._plan(spool, ledger, known, walk.passed_over)

    def _buckets(self) -> Iterator[Bucket]:
        """Yield the bucket once for each prefix that was named."""
        for target in self._targets.targets:
            bucket = bucket_of(self._order.source, self._clock, workers=1)
            prefix = target.path.decode().removeprefix(f"s3://{self._targets.bucket}/")
            one = Bucket(replace(bucket.access, prefix=prefix), clock=self._clock)
            with closing(one):
                yield one

    def _plan(self, spool: Spool, ledger: Ledger | None, known: ImportRow | None, passed_over: int) -> Plan:
        count, size = spool.totals(order=self._request.order, limit=self._request.limit)
        settled = 0
        if ledger is not None and known is not None:
            settled = Report.of(ledger.recordings.counts(import_n=known.n)).settled
        requests = max(0, count - settled)
        return Plan(recordings=count, size_bytes=size, requests=requests, passed_over=passed_over)

    def _nothing_written(self) -> int:
        self._screen.end()
        self._screen.note("Interrupted while looking: nothing was written or sent.")
        return INTERRUPTED

    def _judge(self, spool: Spool, plan: Plan, ledger: Ledger | None, known: ImportRow | None) -> int:
        bucket = None
        if self._targets.bucket:
            bucket = bucket_of(self._order.source, self._clock, workers=1)
        rehearsal = Rehearsal(
            place_of_import(self._order, bucket, names=FolderNames()),
            spec_of_import(self._order),
            ledger=ledger,
            import_n=None if known is None else known.n,
        )
        self._screen.begin("judging", plan.recordings)
        done = 0
        with closing(rehearsal):
            for part in batches(spool.read(order=self._request.order, limit=self._request.limit), size=10):
                rehearsal.take(part)
                done += len(part)
                self._screen.counted(done, "judged")
                if self._interrupt.is_set():
                    return self._nothing_written()
        self._screen.end()
        self._show_rehearsed(rehearsal, plan)
        report = Report.of(rehearsal.counts)
        return NEEDS_ATTENTION if report.quarantined or plan.passed_over else 0

    def _show_rehearsed(self, rehearsal: Rehearsal, plan: Plan) -> None:
        report = Report.of(rehearsal.counts)
        reasons = [(state.value, code.value, count) for (state, code), count in rehearsal.reasons.most_common()]
        sent = replace(plan, recordings=report.pending, size_bytes=rehearsal.size_bytes)
        self._screen.rehearsed(self._name, plan, sent, report, reasons)
        self._screen.document(
            {"import": self._name}
            | report.document()
            | {"dry_run": True, "would_send": report.pending, "size_bytes": rehearsal.size_bytes}
            | {"reasons": reason_documents(reasons), "passed_over": plan.passed_over}
        )

    def _begin(self, ledger: Ledger) -> ImportRow:
        now = to_ms(self._clock.now())
        source_n = self._source_n(ledger)
        document = self._order.to_document()
        row = ledger.discovery.begin_import(name=self._name, source_n=source_n, settings=document, at=now)
        if row.settings != document:
            ledger.imports.update_settings(row.n, document)
        return row

    def _source_n(self, ledger: Ledger) -> int:
        """Return the number of what the recordings belong to: the named source, else one for imports."""
        wanted = PSEUDO_SOURCE if self._named is None else self._named.name
        for known in ledger.discovery.sources():
            if known.name == wanted:
                # What it is registered with is the daemon's business.
                return known.n
        if self._named is not None:
            return register(ledger, self._named, self._clock).n
        now = to_ms(self._clock.now())
        return ledger.discovery.register(name=wanted, type_="folder", root=b"/", settings="", at=now).n

    def _enter(self, ledger: Ledger, row: ImportRow, spool: Spool, plan: Plan) -> Added:
        entering = Entering(
            ledger, import_n=row.n, source_n=row.source_n, clock=self._clock, rest_seconds=IMPORT_REST_SECONDS
        )
        self._screen.begin("writing", plan.recordings)

        def go_on(added: Added) -> bool:
            self._screen.counted(added.new + added.known + added.changed + added.late, "written down")
            return not self._interrupt.is_set()

        found = spool.read(order=self._request.order, limit=self._request.limit)
        added = entering.enter(found, total=plan.recordings, go_on=go_on)
        ledger.books.ring()
        self._screen.end()
        return added

    def _tell_added(self, added: Added) -> None:
        if added.known or added.changed:
            changed = f", {added.changed:,} changed since" if added.changed else ""
            self._context.say(f"Resumed: {added.new:,} new, {added.known + added.late:,} as before{changed}.")
        if added.late:
            self._screen.note(f"note: {recordings(added.late)} changed after being sent and will not be sent again")

    def _detached(self, row: ImportRow) -> int:
        with closing(open_beside(self._settings)) as ledger:
            report = Report.of(ledger.recordings.counts(import_n=row.n))
        self._context.say(f"Handed over to the daemon as import {row.name}.")
        self._context.say(f"To follow it: qm-uploader status, qm-uploader list --import {row.name}")
        self._screen.document({"import": row.name} | report.document())
        return 0

    def _finish(self, row: ImportRow, plan: Plan, ended: Ended) -> int:
        """Print the report; return the exit code. Raises ServiceRefusal when the service refused us."""
        with closing(open_beside(self._settings)) as ledger:
            look = self._waiting.watch(ledger, row).look()
            reasons = ledger.recordings.reasons(Filter(import_name=row.name))
        told = [(state, code, count) for state, code, count in reasons if state != "submitted"]
        report = look.report
        self._screen.report(row.name, report, told)
        self._screen.document(
            {"import": row.name} | report.document() | {"reasons": reason_documents(told)}
            | {"passed_over": plan.passed_over, "ended": ended.end.name.lower()}
        )  # fmt: skip
        if ended.end is End.REFUSED and ended.gate is not None:
            raise ServiceRefusal(ended.gate.message, reason=str(ended.gate.reason), hint=ended.gate.hint)
        if ended.end is End.INTERRUPTED:
            self._tell_interrupted(ended)
            return INTERRUPTED
        if ended.end is End.DAEMON_GONE:
            raise UploaderError(
                "the daemon has stopped before this import was done",
                hint="start it again, or repeat this command to send the rest without it",
            )
        late = self._request.wait is Wait.ANALYZED and report.submitted > report.analyzed
        return NEEDS_ATTENTION if report.needs_attention or late or plan.passed_over else 0

    def _tell_interrupted(self, ended: Ended) -> None:
        if ended.unfetched:
            count = recordings(ended.unfetched)
            self._screen.note(f"The service has not fetched {count} yet: run it again, or `run`, to serve them.")
        if ended.beside:
            self._screen.note("Interrupted, but the daemon goes on: `qm-uploader pause --import` holds it.")
            return
        self._screen.note("Interrupted; nothing is lost. The same command goes on.")
