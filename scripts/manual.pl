#!/usr/bin/env perl
# Makes man pages and shell completions from what programs say about themselves. Usage: manual.pl PREFIX PROGRAM…
# PREFIX/bin/PROGRAM is asked for --help, and each of its subcommands too; below PREFIX/share come man/man1/PROGRAM.1.gz, a page
# PROGRAM-SUBCOMMAND.1.gz for each, and completions for bash, zsh and fish. Uses no module, so that Debian's perl-base is enough.
use strict;
use warnings;

sub output_of {
    my @command = @_;
    open my $pipe, '-|', @command or die "error: $command[0] cannot be run: $!\n";
    my $text = do { local $/; <$pipe> };
    close $pipe or die "error: `@command` ended with status " . ($? >> 8) . "\n";
    return $text;
}

sub write_file {
    my ($path, $text) = @_;
    for (my $at = 1; ($at = index $path, '/', $at) >= 0; ++$at) {
        my $folder = substr $path, 0, $at;
        -d $folder or mkdir $folder or die "error: $folder cannot be made: $!\n";
    }
    open my $file, '>', $path or die "error: $path cannot be written: $!\n";
    print $file $text;
    close $file or die "error: $path cannot be written: $!\n";
}

# ---- Reading --help: a title, "Usage: …", sections of entries (an indented name, then after two blanks or on the next line its text), at last
# what is not indented: examples.

# parse HELP: {title, usage, footer, options, positionals, subcommands}; an entry is {name, spec, values, text}.
sub parse {
    my ($help) = @_;
    my ($title, $usage, $rest) = $help =~ /\A(.*?)\n+Usage: (.*?)\n(.*)\z/s or die "error: this is no --help: $help\n";
    my %command = (title => $title, usage => $usage, footer => '', options => [], positionals => [], subcommands => []);
    my ($section, @group);  # options of which one is required
    for my $line (split /\n/, $rest) {
        if ($line =~ /^ *(Options|Positionals|Subcommands):$/) { $section = $command{lc $1} }
        elsif ($line =~ /^\[Option Group: |^ +\[Exactly 1 of .* is required\]$|^ *$/) { $command{footer} .= "\n" if $command{footer} }
        elsif ($line =~ /^ {30}(\S.*)/ && $section && @$section && !$command{footer}) { $section->[-1]{text} = $1 }
        elsif ($line =~ /^ {2,4}(\S.*?)(?: {2,}(\S.*))?$/ && $section && !$command{footer}) {
            push @$section, entry($1, $2 // '');
            push @group, $section->[-1] if $line =~ /^ {4}/;
        }
        else { $command{footer} .= "$line\n" }
    }
    my $choice = join ' and ', map { $_->{name} } @group;
    $_->{text} .= " (exactly one of $choice is required)" for @group;
    return \%command;
}

# entry "--name TYPE:{a,b}=default": its name, what stands after it, the values it is limited to.
sub entry {
    my ($left, $text) = @_;
    my ($name, $spec) = $left =~ /^(\S+) ?(.*)$/;
    my @values = $spec =~ /\{(.*?)\}/ ? split /,/, $1 : ();
    return {name => $name, spec => $spec, text => $text, values => \@values};
}

# read_program PROGRAM-FILE NAME: the program and its subcommands, each with its own --help read.
sub read_program {
    my ($file, $name) = @_;
    my $program = parse(output_of($file, '--help'));
    $program->{name} = $name;
    ($program->{version}) = output_of($file, '--version') =~ /^\S+ (\S+)/;
    for my $sub (@{$program->{subcommands}}) { $sub = {%{parse(output_of($file, $sub->{name}, '--help'))}, name => $sub->{name}} }
    return $program;
}

# ---- Man pages

sub roff {
    my ($text) = @_;
    $text =~ s/\\/\\e/g;
    $text =~ s/-/\\-/g;
    $text =~ s/^([.'])/\\&$1/mg;
    return $text;
}

# A title as NAME sections have it.
sub in_name { my ($text) = @_; return ($text =~ /^[A-Z][a-z ]/ && $text !~ /^Dropforge/ ? lcfirst $text : $text) =~ s/\.$//r }

sub roff_entries {
    my ($heading, @entries) = @_;
    return '' unless @entries;
    my $text = ".SH $heading\n";
    for my $entry (@entries) {
        my $names = join ', ', split /,/, $entry->{name};
        my $spec = $entry->{spec} eq '' ? '' : ' \fI' . roff($entry->{spec}) . '\fR';
        $text .= ".TP\n\\fB" . roff($names) . "\\fR$spec\n" . roff($entry->{text}) . "\n";
    }
    return $text;
}

my $exit_status = <<'TEXT';
.SH EXIT STATUS
0 if all went well, 1 after an error, 2 for wrong usage, each of these with one line on the standard error output; 128 and the number of the signal
if one stopped the program.
TEXT

# page PROGRAM [SUBCOMMAND]
sub page {
    my ($program, $sub) = @_;
    my $command = $sub // $program;
    my $name = join '-', $program->{name}, $sub ? $sub->{name} : ();
    my $text = '.TH "' . uc($name) . "\" 1 \"\" \"Dropforge $program->{version}\" \"User Commands\"\n";
    $text .= ".SH NAME\n" . roff($name) . ' \- ' . roff(in_name($command->{title})) . "\n";
    $text .= ".SH SYNOPSIS\n.B " . roff($command->{usage}) . "\n";
    $text .= roff_entries('ARGUMENTS', @{$command->{positionals}});
    $text .= roff_entries('SUBCOMMANDS', map { {name => $_->{name}, spec => '', text => $_->{title}} } @{$command->{subcommands}});
    $text .= roff_entries('OPTIONS', @{$command->{options}});
    my $examples = $command->{footer} =~ s/^(Examples?:)? *\n?//mgr;
    $text .= ".SH EXAMPLES\n.nf\n" . roff($examples) . ".fi\n" if $examples;
    my @others = map { "$program->{name}-$_->{name}" } grep { !$sub || $_ != $sub } @{$program->{subcommands}};
    return $text . $exit_status . ".SH SEE ALSO\n" . join(",\n", map { '.BR ' . roff($_) . ' (1)' } ($sub ? $program->{name} : ()), @others) . "\n";
}

# ---- Completions: of subcommands, of a subcommand's options, of values where there is a list of them, else of files.

sub names { return split /,/, $_[0]{name} }
sub all_names { return join ' ', map { names($_) } @{$_[0]{options}} }
sub takes_value { return $_[0]{spec} ne '' }
sub function_name { return '_' . ($_[0]{name} =~ tr/-/_/r) }

sub bash {
    my ($program) = @_;
    my $function = function_name($program);
    my ($options, $values) = ('', '');
    for my $sub (@{$program->{subcommands}}) {
        $options .= "        $sub->{name}) words='" . all_names($sub) . "' ;;\n";
        for my $option (grep { takes_value($_) } @{$sub->{options}}) {
            my $pattern = join ' | ', map { "'$sub->{name} $_'" } names($option);
            my $words = @{$option->{values}} ? "mapfile -t COMPREPLY < <(compgen -W '@{$option->{values}}' -- \"\$current\"); " : '';
            $values .= "        $pattern) ${words}return ;;\n";
        }
    }
    my $first = join ' ', map { $_->{name} } @{$program->{subcommands}};
    my $own = all_names($program);
    return <<"BASH";
# Completion of $program->{name} for bash, made from its --help.
$function() {
    local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} command=\${COMP_WORDS[1]} words=
    COMPREPLY=()
    if [ "\$COMP_CWORD" = 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W '$first $own' -- "\$current")
        return
    fi
    case "\$command \$previous" in
$values    esac
    case "\$command" in
$options    esac
    case "\$current" in
        -*) mapfile -t COMPREPLY < <(compgen -W "\$words" -- "\$current") ;;
    esac
}
complete -o default -F $function $program->{name}
BASH
}

# Inside single quotes of zsh, and of fish.
sub quoted { my ($text) = @_; return $text =~ s/'/'\\''/gr }
sub zsh_text { return quoted($_[0] =~ s/([\[\]:\\])/\\$1/gr) }

sub zsh {
    my ($program) = @_;
    my $function = function_name($program);
    my $subs = join '', map { "        '$_->{name}:" . zsh_text($_->{title}) . "'\n" } @{$program->{subcommands}};
    my $cases = '';
    for my $sub (@{$program->{subcommands}}) {
        $cases .= "        $sub->{name})\n            _arguments";
        for my $option (@{$sub->{options}}) {
            my $action = @{$option->{values}} ? "(@{$option->{values}})" : '_files';
            my $value = takes_value($option) ? ":value:$action" : '';
            $cases .= " \\\n                '$_\[" . zsh_text($option->{text}) . "]$value'" for names($option);
        }
        $cases .= " \\\n                '*:file:_files' ;;\n";
    }
    return <<"ZSH";
#compdef $program->{name}
# Completion of $program->{name} for zsh, made from its --help.
$function() {
    local -a commands=(
$subs    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    shift words
    (( CURRENT-- ))
    case \$words[1] in
$cases    esac
}
$function "\$@"
ZSH
}

sub fish {
    my ($program) = @_;
    my $text = "# Completion of $program->{name} for fish, made from its --help.\n";
    for my $sub (@{$program->{subcommands}}) {
        $text .= "complete -c $program->{name} -n __fish_use_subcommand -f -a $sub->{name} -d '" . quoted($sub->{title}) . "'\n";
        for my $option (@{$sub->{options}}) {
            my $names = join ' ', map { /^--(.*)/ ? "-l $1" : '-s ' . substr $_, 1 } names($option);
            my $value = !takes_value($option) ? '' : @{$option->{values}} ? " -x -a '@{$option->{values}}'" : ' -r';
            $text .= "complete -c $program->{name} -n '__fish_seen_subcommand_from $sub->{name}' $names$value -d '" . quoted($option->{text}) . "'\n";
        }
    }
    return $text;
}

# ----

my ($prefix, @programs) = @ARGV;
die "usage: manual.pl PREFIX PROGRAM…\n" unless @programs;
my $share = "$prefix/share";
# Where zsh looks: Debian has a folder of its own for packages.
my $zsh_folder = $prefix =~ m{/usr/?$} ? "$share/zsh/vendor-completions" : "$share/zsh/site-functions";
for my $name (@programs) {
    my $program = read_program("$prefix/bin/$name", $name);
    for my $sub (undef, @{$program->{subcommands}}) {
        my $path = "$share/man/man1/" . join('-', $name, $sub ? $sub->{name} : ()) . '.1';
        write_file($path, page($program, $sub));
        output_of('gzip', '-9nf', $path);
    }
    write_file("$share/bash-completion/completions/$name", bash($program));
    write_file("$zsh_folder/_$name", zsh($program));
    write_file("$share/fish/vendor_completions.d/$name.fish", fish($program));
}
