#!/usr/bin/env perl
# ncu_table.pl [FILE.csv]: what ncu writes with --csv --page raw (docs/profiling.md) in the columns of `bench kernels`, the kernels that took
# longest together first: launches and what bounds them in place of model and dtype; the share is of that bound's peak.
use strict;
use warnings;
use List::Util qw(sum);

my $time = 'gpu__time_duration.sum';
my @shares = (
    ['memory',  'dram__throughput.avg.pct_of_peak_sustained_elapsed'],
    ['compute', 'sm__throughput.avg.pct_of_peak_sustained_elapsed'],
);
# The first of these that all columns are there for.
my @bytes = (['dram__bytes.sum'], ['dram__bytes_read.sum', 'dram__bytes_write.sum'], ['dram__bytes_op_read.sum', 'dram__bytes_op_write.sum']);
my %units = ('' => 1, '%' => 1, ns => 1e-9, us => 1e-6, ms => 1e-3, s => 1, nsecond => 1e-9, usecond => 1e-6, msecond => 1e-3, second => 1,
    byte => 1, Kbyte => 1e3, Mbyte => 1e6, Gbyte => 1e9);

# The fields of a line: quoted, with a quote in a field doubled.
sub fields {
    my ($line) = @_;
    my @fields = $line =~ /\G"((?:[^"]|"")*)"(?:,|$)/g;
    s/""/"/g for @fields;
    return @fields;
}

# ncu's messages and the program's own output stand before the header.
my (@columns, @unit, @launches);
while (my $line = <>) {
    $line =~ s/\r?\n//;
    next unless $line =~ /^"/;
    my @fields = fields($line);
    if (!@columns) {
        @columns = @fields if grep { $_ eq 'Kernel Name' } @fields;
    } elsif (!@unit) {
        @unit = @fields;
    } else {
        die "line $.: expected ${\ scalar @columns} fields, got ${\ scalar @fields}\n" unless @fields == @columns;
        my %launch;
        @launch{@columns} = @fields;
        push @launches, \%launch;
    }
}
die "no table: expected what ncu writes with --csv --page raw\n" unless @columns;
my %unit_of;
@unit_of{@columns} = @unit;
for my $column ($time, map { $_->[1] } @shares) { die "there is no column $column\n" unless exists $unit_of{$column}; }
my ($byte_columns) = grep { !grep { !exists $unit_of{$_} } @$_ } @bytes;
die "there is no column $bytes[0][0]\n" unless $byte_columns;
die "no launch in the table\n" unless @launches;

# In seconds, bytes or percent.
sub value {
    my ($launch, $column) = @_;
    my ($number, $unit) = ($launch->{$column}, $unit_of{$column} // '');
    $number =~ s/,//g;
    die "$launch->{'Kernel Name'}: $column is \"$launch->{$column}\", expected a number\n" unless $number =~ /^[0-9.]+(?:e[+-]?[0-9]+)?$/i;
    die "$column: unknown unit \"$unit\"\n" unless exists $units{$unit};
    return $number * $units{$unit};
}

my %kernels;
for my $launch (@launches) {
    push @{ $kernels{ $launch->{'Kernel Name'} } },
        { seconds => value($launch, $time), bytes => sum(map { value($launch, $_) } @$byte_columns),
          shares => [map { value($launch, $_->[1]) } @shares] };
}

sub median { my @sorted = sort { $a <=> $b } @_; return $sorted[@sorted / 2]; }
my %total = map { $_ => sum(map { $_->{seconds} } @{ $kernels{$_} }) } keys %kernels;
printf "%d launches of %d kernels, %.4f ms\n", scalar @launches, scalar keys %kernels, 1e3 * sum(values %total);
for my $name (sort { $total{$b} <=> $total{$a} || $a cmp $b } keys %kernels) {
    my @runs = @{ $kernels{$name} };
    my @seconds = map { $_->{seconds} } @runs;
    my @share = map { my $i = $_; median(map { $_->{shares}[$i] } @runs) } 0 .. $#shares;
    my $bound = $share[0] >= $share[1] ? 0 : 1;
    printf "%-36s x%-9d %-7s %9.4f ms (best %9.4f) %9.1f GB/s    %4.0f %%\n", $name, scalar @runs, $shares[$bound][0], 1e3 * median(@seconds),
        1e3 * (sort { $a <=> $b } @seconds)[0], 1e-9 * sum(map { $_->{bytes} } @runs) / $total{$name}, $share[$bound];
}
