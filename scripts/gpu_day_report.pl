#!/usr/bin/env perl
# Makes report.json and report.html of what scripts/gpu_day.sh has left in a folder: gpu_day_report.pl FOLDER "STAGE STAGE…"
# The page needs nothing but itself. What is missing or failed is said where it would stand.
use strict;
use warnings;
use JSON::PP;

my ($folder, $names) = @ARGV;
my $json = JSON::PP->new->canonical->pretty;

sub read_file {
    my ($path) = @_;
    open my $file, '<', $path or return '';
    local $/;
    my $text = <$file> // '';
    $text =~ s/\s+\z//;
    return $text;
}

sub write_file {
    my ($path, $text) = @_;
    open my $file, '>', "$path.part" or die "$path.part: $!\n";
    print $file $text;
    close $file or die "$path.part: $!\n";
    rename "$path.part", $path or die "$path: $!\n";
}

# The last lines of a log.
sub tail {
    my ($text, $count) = @_;
    my @lines = split /\n/, $text;
    splice @lines, 0, @lines - $count if @lines > $count;
    return join "\n", @lines;
}

# ---- what there is ----

sub stage {
    my ($name) = @_;
    my $at = "$folder/$name";
    my %stage = (name => $name, status => read_file("$at/status") || 'not run', seconds => 0 + (read_file("$at/seconds") || 0));
    $stage{log} = tail(read_file("$at/log"), 20) unless $stage{status} eq 'passed' || $stage{status} eq 'not run';
    my @counts = read_file("$at/log") =~ /^(\d+) passed, (\d+) failed$/mg;
    @stage{'tests_passed', 'tests_failed'} = map { 0 + $_ } @counts[-2, -1] if @counts;
    return \%stage;
}

# The cells of a stage: what bench printed as JSON, with the cell's name; or its last words as `error`.
sub cells {
    my ($stage) = @_;
    my @cells;
    for my $path (sort glob "'$folder/$stage/*.json' '$folder/$stage/*.error'") {
        my ($name, $kind) = $path =~ m{([^/]+)\.(json|error)$};
        my $text = read_file($path);
        my $cell = $kind eq 'json' ? eval { $json->decode($text) } : {error => $text};
        push @cells, {%{$cell // {error => 'bench printed no JSON'}}, cell => $name};
    }
    return \@cells;
}

sub sanitized {
    my ($tool) = @_;
    my @tests;
    for my $path (sort glob "'$folder/$tool/*.status'") {
        my ($name) = $path =~ m{([^/]+)\.status$};
        my $log = read_file("$folder/$tool/$name.log");
        my ($summary) = $log =~ /.*^=* ?(\w+ SUMMARY:[^\n]*)/ms;
        my %test = (test => $name, status => read_file($path), summary => $summary // '');
        $test{log} = tail($log, 20) if $test{status} ne 'passed';
        push @tests, \%test;
    }
    return \@tests;
}

# Puts the predicted time beside the measured one.
sub compare {
    my ($steps, $predictions) = @_;
    my %predicted = map { $_->{cell} => $_->{ms} } @$predictions;
    for my $step (@$steps) {
        my $ms = $predicted{$step->{cell}};
        next unless $ms && $step->{ms_median};
        @$step{'predicted_ms', 'of_prediction'} = ($ms, $ms / $step->{ms_median});
    }
}

# ---- the page ----

sub escape {
    my ($text) = @_;
    $text =~ s/&/&amp;/g;
    $text =~ s/</&lt;/g;
    $text =~ s/>/&gt;/g;
    return $text;
}

sub number {
    my ($value, $digits) = @_;
    return '' unless defined $value;
    return sprintf "%.${digits}f", $value;
}
sub percent { my ($share) = @_; return defined $share ? number(100 * $share, 1) . ' %' : '' }

# table([heading, …], [cell, …], …): a row with a class begins with {class => NAME}.
sub table {
    my ($headings, @rows) = @_;
    return "<p>No results.</p>\n" unless @rows;
    my $html = '<table><tr>' . join('', map { "<th>$_</th>" } @$headings) . "</tr>\n";
    for my $row (@rows) {
        my @cells = @$row;
        my $class = ref $cells[0] ? ' class="' . (shift @cells)->{class} . '"' : '';
        $html .= "<tr$class>" . join('', map { '<td>' . escape($_ // '') . '</td>' } @cells) . "</tr>\n";
    }
    return "$html</table>\n";
}

sub class_of { my ($status) = @_; return {class => $status =~ /^(passed|not run)$/ ? $status =~ s/ /-/r : 'failed'} }

sub stage_rows {
    return map {
        my $tests = defined $_->{tests_passed} ? "$_->{tests_passed} passed, $_->{tests_failed} failed" : '';
        [class_of($_->{status}), $_->{name}, $_->{status}, "$_->{seconds} s", $tests]
    } @_;
}

# rows(CELLS, FUNCTION): FUNCTION makes rows of a cell; one that failed has a row with its error.
sub rows {
    my ($cells, $function) = @_;
    return map { defined $_->{error} ? [{class => 'failed'}, $_->{cell}, $_->{error}] : $function->($_) } @$cells;
}

sub gemm_rows {
    return rows($_[0], sub {
        my ($cell) = @_;
        return map {
            my $rate = $_;
            map { [$cell->{model}, $rate->{dtype}, $_->{name}, "$_->{m} x $_->{n} x $_->{k}", number($_->{gflops} / 1e3, 1),
                   percent($_->{gflops} / $rate->{peak_gflops})] } @{$rate->{shapes}}
        } @{$cell->{rates}};
    });
}

sub kernel_rows {
    return rows($_[0], sub {
        my ($cell) = @_;
        return map { [$_->{model}, $_->{kernel}, $_->{dtype}, number($_->{ms}, 4), number($_->{gbytes_per_second}, 0),
                      percent($_->{bandwidth_share}), percent($_->{gemm_share})] } @{$cell->{kernels}};
    });
}

sub step_rows {
    return rows($_[0], sub {
        my ($s) = @_;
        return [$s->{model}, $s->{method}, $s->{precision}, "$s->{batch} x $s->{sequence}", number($s->{sequences_per_second}, 1),
                number($s->{ms_median}, 2), number($s->{gflops} / 1e3, 1), percent($s->{mfu}), number($s->{predicted_ms}, 2),
                percent($s->{of_prediction})];
    });
}

sub operation_rows {
    return rows($_[0], sub {
        my ($s) = @_;
        return map { [$s->{method}, $_->{op}, number($_->{ms}, 3), percent($_->{share}), number(($_->{gflops} // 0) / 1e3, 1),
                      number($_->{gbytes_per_second}, 0)] } @{$s->{by_op}};
    });
}

sub page {
    my ($report) = @_;
    my %stages = map { $_->{name} => $_ } @{$report->{stages}};
    my $title = 'Dropforge on ' . escape($report->{gpu} || 'a GPU');
    my $html = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>$title</title><style>\n" . <<'CSS' . "</style></head><body>\n";
body { font: 15px sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } th, td { padding: 2px 10px; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top }
td:nth-child(n+4) { font-variant-numeric: tabular-nums } pre { background: #f4f4f4; padding: 8px; overflow-x: auto }
.failed { background: #fdd } .passed td:nth-child(2) { color: #070 } .not-run { color: #777 }
CSS
    $html .= "<h1>$title</h1>\n<pre>" . escape("$report->{gpu}\n$report->{version}\ncommit $report->{commit}, $report->{date}") . "</pre>\n";
    my $section = sub {
        my ($heading, $stage, $table) = @_;
        my $state = $stages{$stage} ? " ($stages{$stage}{status})" : '';
        $html .= "<h2>$heading$state</h2>\n$table";
    };
    $html .= "<h2>Stages</h2>\n" . table(['stage', 'status', 'time', 'tests'], stage_rows(@{$report->{stages}}));
    $html .= "<h3>$_->{name}: last lines</h3>\n<pre>" . escape($_->{log}) . "</pre>\n" for grep { defined $_->{log} } @{$report->{stages}};
    $section->('Training steps', 'steps', '<p>16384 tokens a step. Predicted: from operations, bytes and the figures of the device; '
        . 'the last column is the predicted time as a share of the measured one.</p>'
        . table(['model', 'method', 'precision', 'batch', 'sequences/s', 'ms', 'TFLOP/s', 'MFU', 'predicted ms', 'predicted/measured'],
                step_rows($report->{steps})));
    $section->('Time by operation', 'operations',
               table(['method', 'operation', 'ms', 'share', 'TFLOP/s', 'GB/s'], operation_rows($report->{operations})));
    $section->('Matrix products', 'gemm', table(['model', 'dtype', 'product', 'm x n x k', 'TFLOP/s', 'of the best'], gemm_rows($report->{gemm})));
    $section->('Kernels', 'kernels',
               table(['model', 'kernel', 'dtype', 'ms', 'GB/s', 'of the bandwidth', 'of the best GEMM'], kernel_rows($report->{kernels})));
    for my $tool (qw(memcheck racecheck initcheck synccheck)) {
        my $tests = $report->{$tool};
        $section->("compute-sanitizer $tool", $tool,
                   table(['test', 'status', 'summary'], map { [class_of($_->{status}), @$_{qw(test status summary)}] } @$tests)
                   . join '', map { "<h3>$_->{test}: last lines</h3>\n<pre>" . escape($_->{log}) . "</pre>\n" } grep { defined $_->{log} } @$tests);
    }
    return "$html</body></html>\n";
}

my %report = (
    gpu => read_file("$folder/machine/gpu.csv"),
    version => read_file("$folder/machine/version.txt"),
    commit => read_file("$folder/version"),
    date => scalar(gmtime) . ' UTC',
    stages => [map { stage($_) } split ' ', $names],
    (map { $_ => cells($_) } qw(gemm kernels steps operations predictions)),
    (map { $_ => sanitized($_) } qw(memcheck racecheck initcheck synccheck)),
);
compare($report{steps}, $report{predictions});
write_file("$folder/report.json", $json->encode(\%report));
write_file("$folder/report.html", page(\%report));
