"""`harness review …`: parse, call, print. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import harness
from harness import environment
from harness.cli.options import HOME, Home, Host, Json, Port, PublicUrl, print_json, print_lines, show_as
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.store import Store

_commands = typer.Typer(no_args_is_help=True, help="Blind review: people judge answers side by side.")

Url = Annotated[str, typer.Option("--url", help="Where the app is reached.")]
Round = Annotated[str, typer.Argument(help="Round, as `harness review open` and `status` print it.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(_commands, name="review")


def _store(home: Path) -> Store:
    from harness.results import queries

    return queries.open_store(home)


def _round(home: Path, name: str) -> tuple[Store, str]:
    """The store, and the id of the round that is called so there."""
    from harness import review

    store = _store(home)
    return store, review.find_round(store, name).id


@_commands.command(name="open")
def open_command(
    experiment: Annotated[str, typer.Argument(help="Experiment file or name; for --split validation its file.")],
    arms: Annotated[str, typer.Option("--arms", help="Two or more arms, by commas. The first is asked about last.")],
    items: Annotated[
        int | None, typer.Option("--items", min=1, help="(Example, arm pair) combinations; default: all.")
    ] = None,
    raters: Annotated[int, typer.Option("--raters", min=1, help="Raters of each item.")] = 2,
    reviewers: Annotated[
        int | None, typer.Option("--reviewers", min=1, help="Queues, one a reviewer; default: as --raters.")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="test, or validation.")] = "test",
    prompts: Annotated[
        Path | None, typer.Option("--prompts", help="Fresh prompts: a file with the task's columns.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Training seed whose models are shown; default: the first.")
    ] = None,
    instructions: Annotated[Path | None, typer.Option("--instructions", help="Text file for the reviewers.")] = None,
    gold_file: Annotated[
        Path | None, typer.Option("--gold-file", help="Gold pairs of your own: prompt, good, bad.")
    ] = None,
    gold: Annotated[int | None, typer.Option("--gold", min=0, help="Gold pairs in each queue.")] = None,
    identical: Annotated[int | None, typer.Option("--identical", min=0, help="Identical pairs in each queue.")] = None,
    repeats: Annotated[int | None, typer.Option("--repeats", min=0, help="Repeated pairs in each queue.")] = None,
    ask_identical: Annotated[
        bool, typer.Option("--ask-identical", help="Ask about pairs of the same text; else they count as ties.")
    ] = False,
    least_gold: Annotated[
        float, typer.Option("--least-gold", min=0, max=1, help="Raters below this share of gold pairs are left out.")
    ] = 0.7,
    least_identical: Annotated[
        float | None, typer.Option("--least-identical", min=0, max=1, help="The same for identical pairs.")
    ] = None,
    least_repeats: Annotated[
        float | None, typer.Option("--least-repeats", min=0, max=1, help="The same for repeats.")
    ] = None,
    minutes: Annotated[float, typer.Option("--minutes", min=0.1, help="How long an item is reserved.")] = 30.0,
    home: Home = HOME,
) -> None:
    """Draw a round: who will judge what, on which side, from a sealed seed. Nothing can be changed afterwards."""
    if split not in ("test", "validation"):
        raise UsageError(f"--split {split!r} is unknown", hint="Give test or validation, or --prompts FILE")
    if instructions is not None and not instructions.is_file():
        raise UsageError(f"no such file: {instructions}", hint="--instructions names a text file")
    from harness.progress import Reporter
    from harness.records import Assignment, ExclusionRule
    from harness.review import opening
    from harness.review.answers import Request

    request = Request(
        arms=tuple(name.strip() for name in arms.split(",") if name.strip()),
        items=items,
        raters=raters,
        reviewers=reviewers,
        validation=split == "validation",
        prompts=prompts,
        training_seed=seed,
        instructions=instructions.read_text(encoding="utf-8") if instructions is not None else None,
        gold_file=gold_file,
        gold=gold,
        identical=identical,
        repeats=repeats,
        ask_identical=ask_identical,
        exclusion=ExclusionRule(least_gold, least_identical, least_repeats),
        minutes=minutes,
    )
    with Reporter() as reporter:
        round_ = opening.open_experiment(home, experiment, request, environment.user(), reporter)
    with _store(home).session() as session:
        print_lines(opening.summary(round_, session.read(Assignment, "round = $1", [round_.id])))


@_commands.command()
def invite(
    round_id: Round,
    name: Annotated[str, typer.Argument(help="Who is invited.")],
    url: Url = "http://127.0.0.1:8501",
    home: Home = HOME,
) -> None:
    """Print a link for one reviewer. It is shown once; inviting the same name again replaces it."""
    from harness import review

    print(f"{url.rstrip('/')}/?token={review.invite(*_round(home, round_id), name)}")


@_commands.command()
def owner(
    name: Annotated[str, typer.Argument(help="Who may see everything.")],
    url: Url = "http://127.0.0.1:8501",
    home: Home = HOME,
) -> None:
    """Print a link that opens the whole app, for where it is served to others."""
    from harness import review

    print(f"{url.rstrip('/')}/?token={review.invite(_store(home), None, name)}")


@_commands.command()
def revoke(
    round_id: Annotated[str, typer.Argument(help="Round, or `owner` for an owner's link.")],
    name: Annotated[str, typer.Argument(help="Whose link ends.")],
    home: Home = HOME,
) -> None:
    """End a link. Votes stay; what is left of the queue goes to the other reviewers."""
    from harness import review

    store, found_id = (_store(home), None) if round_id == "owner" else _round(home, round_id)
    review.revoke(store, found_id, name)
    print(f"the link of {name} is revoked")


@_commands.command()
def status(
    round_id: Annotated[str | None, typer.Argument(help="Round; default: all.", show_default=False)] = None,
    home: Home = HOME,
    as_json: Json = False,
) -> None:
    """Print how far every reviewer is, and of open rounds of two arms how clear it is by now. No arm is named."""
    from harness import review
    from harness.records import to_json

    store = _store(home)
    listed = [review.find_round(store, round_id)] if round_id is not None else review.rounds(store)
    statuses = [review.status(store, round_.id, monitor=True) for round_ in listed]
    if as_json:
        print_json({"schema": "harness.review-status/1", "rounds": to_json(statuses)})
        return
    for each in statuses:
        votes, prompts = f"{each.votes} of {each.wanted} votes", f"{each.items} items over {each.split} prompts"
        print(f"{each.id}  {each.state}  {votes}  {prompts}")
        if each.automatic_ties:
            print(f"  {each.automatic_ties} items with the same text on both sides count as ties")
        if each.monitor is not None:
            print(f"  {each.monitor.words}")
        for stamp, what in ((each.closed, "closed"), (each.unblinded, "unblinded")):
            if stamp is not None:
                print(f"  {what} {stamp.when} by {stamp.who}" + (f": {stamp.why}" if stamp.why else ""))
        for rater in each.raters:
            far = f"{rater.done} of {rater.total}" if rater.total is not None else "not here yet"
            more = f", {rater.skipped} skipped" if rater.skipped else ""
            print(f"  {rater.name}: {far}{more}" + (" (revoked)" if rater.revoked else ""))
        if each.state == "open" and each.free_queues:
            print(f"  {each.free_queues} queues are free: harness review invite {each.id} NAME")
    if not statuses:
        print("no rounds yet; `harness review open EXPERIMENT --arms a,b` makes one")


@_commands.command()
def close(
    round_id: Round,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the round.")] = "",
    home: Home = HOME,
) -> None:
    """End the voting. Which arm is which stays sealed."""
    from harness import review

    closed = review.close(*_round(home, round_id), environment.user(), reason)
    print(f"closed {closed.id}; `harness review unblind {closed.id} --reason …` shows the results")


@_commands.command()
def unblind(
    round_id: Round,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the round.")],
    home: Home = HOME,
) -> None:
    """Close the round, log who asked and why, and show which arm won how often."""
    from harness import review
    from harness.results import cache

    store, found_id = _round(home, round_id)
    unblinded = review.unblind(store, found_id, environment.user(), reason)
    results(unblinded.id, home)
    if unblinded.experiment in {record.experiment_id for record in store.experiments()}:
        cache.board(store, home, unblinded.experiment)  # so that nobody waits for it in the app


@_commands.command()
def results(round_id: Round, home: Home = HOME, as_json: Json = False) -> None:
    """Print what an unblinded round says, with and without the raters that its rule leaves out."""
    from harness.results.render.human import print_human

    view = harness.review_results(round_id, home=home)
    show_as(view.review, as_json, lambda _: view.to_dict(), print_human)


@_commands.command()
def bundle(
    round_id: Round,
    out: Annotated[Path, typer.Option("--out", help="New folder.")],
    home: Home = HOME,
) -> None:
    """Write what is not judged yet as a blinded folder: no arm, run, seed, latency or token count in it."""
    from harness import review

    count = review.write_bundle(*_round(home, round_id), out)
    print(f"wrote {out}: {count} items; bring its votes back with `harness review import FILE`")


@_commands.command()
def serve(
    folder: Annotated[Path, typer.Argument(help="Folder that `harness review bundle` wrote.")],
    host: Host = "127.0.0.1",
    port: Port = 8501,
    public_url: PublicUrl = None,
) -> int:
    """Serve a bundle to its reviewers, on a machine without models. Their links are those of `invite`."""
    from harness.app import launch as serve

    return serve.serve_bundle(folder, host, port, public_url)


@_commands.command(name="import")
def import_command(
    file: Annotated[
        Path, typer.Argument(help="csv or jsonl of votes, a served bundle's folder, a journal, finished annotations.")
    ],
    home: Home = HOME,
) -> None:
    """Take in votes from elsewhere; again is harmless. A finished annotation file becomes a round of its own."""
    from harness.results import queries
    from harness.review import exchange
    from harness.store import Store

    imported = exchange.import_file(Store(queries.database(home)), file, environment.user())
    for message in imported.messages:
        print(f"harness: {message}", file=sys.stderr)
    print(f"round {imported.round}: {imported.new} votes taken in, {imported.already_stored} were there already")


@_commands.command()
def export(
    round_id: Round,
    form: Annotated[str, typer.Option("--as", help="votes-csv, votes-jsonl or preferences.")],
    out: Annotated[Path | None, typer.Option("--out", help="File; default: standard output.")] = None,
    all_raters: Annotated[
        bool, typer.Option("--all-raters", help="Preferences: also of raters that the declared rule leaves out.")
    ] = False,
    home: Home = HOME,
) -> None:
    """Write votes, or after unblinding preference pairs in TRL's form, which a dpo arm can train on."""
    if form not in ("votes-csv", "votes-jsonl", "preferences"):
        raise UsageError(f"--as {form!r} is unknown", hint="Give votes-csv, votes-jsonl or preferences")
    from harness import review
    from harness.records.files import write_text
    from harness.results.human.votes import excluded_raters
    from harness.review import exchange

    store, found_id = _round(home, round_id)
    votes = review.round_votes(store, found_id)
    if form == "preferences":
        without = () if all_raters else tuple(excluded_raters(votes))
        rows = exchange.preferences(store, votes, without=without)
    else:
        rows = exchange.vote_rows(votes)
    unblinded = votes.round.unblinded is not None
    text = exchange.as_csv(rows, unblinded) if form == "votes-csv" else exchange.as_jsonl(rows)
    if out is None:
        sys.stdout.write(text)
    else:
        write_text(out, text)
        print(f"wrote {out}: {len(rows)} rows")
