#!/usr/bin/env python3
"""Makes man pages and shell completions from what programs say about themselves: manual.py PREFIX PROGRAM…
PREFIX/bin/PROGRAM is asked for --help, and each of its subcommands too; below PREFIX/share come man/man1/PROGRAM.1.gz, a page
PROGRAM-SUBCOMMAND.1.gz for each, and completions for bash, zsh and fish.
"""
import gzip
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Entry:
    """An option, a positional argument or a subcommand, as a section of --help has it."""

    name: str  # of an option: all its names, with commas between
    spec: str = ""  # what stands after the name: a type, a default
    text: str = ""
    group: str = ""  # of an option: its heading, unless that is "Options"

    @property
    def names(self) -> list[str]:
        return self.name.split(",")

    @property
    def values(self) -> list[str]:
        """Those that it is limited to: `TEXT:{a,b}=a`."""
        found = re.search(r"\{(.*?)\}", self.spec)
        return found.group(1).split(",") if found else []


@dataclass
class Command:
    """What --help says of a program, or of one of its subcommands."""

    name: str
    title: str
    usage: str
    description: str = ""
    examples: str = ""
    exit_status: str = ""
    positionals: list[Entry] = field(default_factory=list)
    options: list[Entry] = field(default_factory=list)
    subcommands: list[Entry] = field(default_factory=list)

    @property
    def option_names(self) -> str:
        return " ".join(name for option in self.options for name in option.names)


@dataclass
class Program:
    command: Command
    version: str
    subcommands: list[Command]

    @property
    def name(self) -> str:
        return self.command.name

    @property
    def function(self) -> str:
        """The name of its function in a shell."""
        return f"_{self.name.replace('-', '_')}"


# ---- Reading --help: a title, after a blank line a description, "Usage: …", sections of entries (an indented name, then after two blanks or on the next line its text) of which those
# with other headings than these three are groups of options, at last examples and the exit status.


def output_of(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")


def parse(name: str, text: str) -> Command:
    found = re.match(r"(.*?)\n+Usage: (.*?)\n(.*)", text, re.DOTALL)
    if not found:
        sys.exit(f"error: this is no --help: {text}")
    title, _, description = found.group(1).partition("\n\n")
    command = Command(name, title, found.group(2), description)
    sections = {"Options": command.options, "Positionals": command.positionals, "Subcommands": command.subcommands}
    section: list[Entry] = []
    footer = heading_of_options = ""
    for line in found.group(3).rstrip("\n").split("\n"):
        if status := re.fullmatch(r"Exit status: (.*)", line):
            command.exit_status = status.group(1)
        elif (heading := re.fullmatch(r" *([A-Z][a-z ]*):", line)) and heading.group(1) != "Examples":
            section = sections.get(heading.group(1), command.options)
            heading_of_options = "" if heading.group(1) in sections else heading.group(1)
        elif not line.strip():
            footer += "\n" if footer else ""
        elif (text_of_last := re.match(r" {30}(\S.*)", line)) and section and not footer:
            section[-1].text = text_of_last.group(1)
        elif (entry := re.fullmatch(r" {2}(\S+) ?(.*?)(?: {2,}(\S.*))?", line)) and not footer:
            section.append(Entry(entry.group(1), entry.group(2), entry.group(3) or "", heading_of_options))
        else:
            footer += f"{line}\n"
    command.examples = re.sub(r"^(Examples?:)? *\n?", "", footer, flags=re.MULTILINE)
    return command


def read_program(file: str, name: str) -> Program:
    command = parse(name, output_of(file, "--help"))
    version = output_of(file, "--version").split()[1]
    return Program(command, version, [parse(sub.name, output_of(file, sub.name, "--help")) for sub in command.subcommands])


# ---- Man pages


def roff(text: str) -> str:
    return re.sub(r"^([.'])", r"\\&\1", text.replace("\\", "\\e").replace("-", "\\-"), flags=re.MULTILINE)


def in_name(title: str) -> str:
    """A title as NAME sections have it."""
    if re.match("[A-Z][a-z ]", title) and not title.startswith("Dropforge"):
        title = title[0].lower() + title[1:]
    return title.removesuffix(".")


def roff_entries(heading: str, entries: list[Entry]) -> str:
    text = f".SH {heading}\n" if entries else ""
    group = ""
    for entry in entries:
        if entry.group != group:
            group = entry.group
            text += f".SS {roff(group)}\n"
        spec = f" \\fI{roff(entry.spec)}\\fR" if entry.spec else ""
        text += f".TP\n\\fB{roff(', '.join(entry.names))}\\fR{spec}\n{roff(entry.text)}\n"
    return text


def page_name(program: Program, command: Command) -> str:
    return program.name if command is program.command else f"{program.name}-{command.name}"


def page(program: Program, command: Command) -> str:
    name = page_name(program, command)
    others = [page_name(program, other) for other in (program.command, *program.subcommands) if other is not command]
    return (
        f'.TH "{name.upper()}" 1 "" "Dropforge {program.version}" "User Commands"\n'
        + f".SH NAME\n{roff(name)} \\- {roff(in_name(command.title))}\n.SH SYNOPSIS\n.B {roff(command.usage)}\n"
        + (f".SH DESCRIPTION\n{roff(command.description)}\n" if command.description else "")
        + roff_entries("ARGUMENTS", command.positionals)
        + roff_entries("SUBCOMMANDS", [Entry(sub.name, "", sub.title) for sub in program.subcommands if command is program.command])
        + roff_entries("OPTIONS", command.options)
        + (f".SH EXAMPLES\n.nf\n{roff(command.examples)}.fi\n" if command.examples else "")
        + f".SH EXIT STATUS\n{roff(command.exit_status)}.\n"
        + ".SH SEE ALSO\n"
        + ",\n".join(f".BR {roff(other)} (1)" for other in others)
        + "\n"
    )


# ---- Completions: of subcommands, of a subcommand's options, of values where there is a list of them, else of files.


def fill(template: str, **texts: str) -> str:
    """With those texts in place of @their names@."""
    for name, text in texts.items():
        template = template.replace(f"@{name}@", text)
    return template


BASH = """\
# Completion of @name@ for bash, made from its --help.
@function@() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} words=
    COMPREPLY=()
    if [ "$COMP_CWORD" = 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W '@first@' -- "$current")
        return
    fi
    case "$command $previous" in
@values@    esac
    case "$command" in
@options@    esac
    case "$current" in
        -*) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") ;;
    esac
}
complete -o default -F @function@ @name@
"""


def bash(program: Program) -> str:
    options = values = ""
    for sub in program.subcommands:
        options += f"        {sub.name}) words='{sub.option_names}' ;;\n"
        for option in (option for option in sub.options if option.spec):
            pattern = " | ".join(f"'{sub.name} {name}'" for name in option.names)
            words = f"mapfile -t COMPREPLY < <(compgen -W '{' '.join(option.values)}' -- \"$current\"); " if option.values else ""
            values += f"        {pattern}) {words}return ;;\n"
    first = " ".join([*(sub.name for sub in program.subcommands), program.command.option_names])
    return fill(BASH, name=program.name, function=program.function, first=first, values=values, options=options)


ZSH = """\
#compdef @name@
# Completion of @name@ for zsh, made from its --help.
@function@() {
    local -a commands=(
@subcommands@    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    shift words
    (( CURRENT-- ))
    case $words[1] in
@cases@    esac
}
@function@ "$@"
"""


def quoted(text: str) -> str:
    """Inside single quotes of zsh, and of fish."""
    return text.replace("'", "'\\''")


def zsh_text(text: str) -> str:
    return quoted(re.sub(r"([\[\]:\\])", r"\\\1", text))


def zsh(program: Program) -> str:
    cases = ""
    for sub in program.subcommands:
        cases += f"        {sub.name})\n            _arguments"
        for option in sub.options:
            action = f"({' '.join(option.values)})" if option.values else "_files"
            value = f":value:{action}" if option.spec else ""
            cases += "".join(f" \\\n                '{name}[{zsh_text(option.text)}]{value}'" for name in option.names)
        cases += " \\\n                '*:file:_files' ;;\n"
    subcommands = "".join(f"        '{sub.name}:{zsh_text(sub.title)}'\n" for sub in program.subcommands)
    return fill(ZSH, name=program.name, function=program.function, subcommands=subcommands, cases=cases)


def fish(program: Program) -> str:
    text = f"# Completion of {program.name} for fish, made from its --help.\n"
    for sub in program.subcommands:
        text += f"complete -c {program.name} -n __fish_use_subcommand -f -a {sub.name} -d '{quoted(sub.title)}'\n"
        for option in sub.options:
            names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
            value = f" -x -a '{' '.join(option.values)}'" if option.values else " -r" if option.spec else ""
            text += f"complete -c {program.name} -n '__fish_seen_subcommand_from {sub.name}' {names}{value} -d '{quoted(option.text)}'\n"
    return text


# ----


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def write_all(prefix: Path, program: Program) -> None:
    share = prefix / "share"
    for command in (program.command, *program.subcommands):
        man_page = gzip.compress(page(program, command).encode(), mtime=0)
        write(share / f"man/man1/{page_name(program, command)}.1.gz", man_page)
    # Where zsh looks: Debian has a folder of its own for packages.
    zsh_folder = share / "zsh" / ("vendor-completions" if prefix.name == "usr" else "site-functions")
    write(share / "bash-completion/completions" / program.name, bash(program).encode())
    write(zsh_folder / f"_{program.name}", zsh(program).encode())
    write(share / f"fish/vendor_completions.d/{program.name}.fish", fish(program).encode())


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit("usage: manual.py PREFIX PROGRAM…")
    prefix = Path(sys.argv[1])
    try:
        for name in sys.argv[2:]:
            write_all(prefix, read_program(f"{prefix}/bin/{name}", name))
    except OSError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
