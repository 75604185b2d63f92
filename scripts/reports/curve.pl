#!/usr/bin/env perl
# curve.pl LABEL=RUN[,RUN…] … > curve.svg: validation loss of runs against the tokens that they were trained on; runs of one label have one colour.
use strict;
use warnings;
use utf8;
use JSON::PP;
use List::Util qw(min max);

my ($width, $height, $left, $bottom, $top, $right) = (720, 400, 60, 50, 20, 130);
my @colours = ('#3b6fb6', '#d1762b', '#3a9a5b', '#8c4fa8');

# [tokens, loss] of every evaluation of a run. Lines of steps bring the tokens, those of evaluations the loss.
sub evaluations {
    my ($run) = @_;
    my (%tokens, %loss);
    open my $file, '<', "$run/metrics.jsonl" or die "$run/metrics.jsonl: $!\n";
    while (my $line = <$file>) {
        my $metrics = decode_json($line);
        $tokens{$metrics->{step}} = $metrics->{tokens} if defined $metrics->{tokens};
        $loss{$metrics->{step}} = $metrics->{eval_loss} if defined $metrics->{eval_loss};
    }
    my @points = map { [$tokens{$_}, $loss{$_}] } sort { $a <=> $b } grep { defined $tokens{$_} } keys %loss;
    die "$run: no evaluation in metrics.jsonl\n" unless @points;
    return \@points;
}

die "usage: curve.pl LABEL=RUN[,RUN...] ... > curve.svg\n" unless @ARGV;
my @series;
for my $argument (@ARGV) {
    my ($label, $runs) = $argument =~ /^([^=]+)=(.+)$/ or die "expected LABEL=RUN, got $argument\n";
    push @series, { label => $label, runs => [map { evaluations($_) } split /,/, $runs] };
}

my @points = map { map { @$_ } @{ $_->{runs} } } @series;
my $most = max map { $_->[0] } @points;
my ($low, $high) = ((int 2 * min map { $_->[1] } @points) / 2, (1 + int 2 * max map { $_->[1] } @points) / 2);
my $x = sub { $left + ($width - $left - $right) * $_[0] / $most };
my $y = sub { $top + ($height - $top - $bottom) * ($high - $_[0]) / ($high - $low) };

binmode STDOUT, ':utf8';
print qq(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 $width $height" font-family="sans-serif" font-size="12">\n);
print qq(<rect width="$width" height="$height" fill="white"/>\n);
for (my $loss = $low; $loss <= $high; $loss += 0.5) {
    printf qq(<path d="M%g %.1fH%g" stroke="#ddd"/><text x="%g" y="%.1f" text-anchor="end">%.1f</text>\n), $left, $y->($loss),
        $width - $right, $left - 6, $y->($loss) + 4, $loss;
}
for my $share (0 .. 4) {
    my $tokens = $most * $share / 4;
    printf qq(<text x="%.1f" y="%g" text-anchor="middle">%.1f M</text>\n), $x->($tokens), $height - $bottom + 18, $tokens / 1e6;
}
printf qq(<text x="%g" y="%g" text-anchor="middle">tokens</text>\n), ($left + $width - $right) / 2, $height - 10;
printf qq(<text x="14" y="%g" text-anchor="middle" transform="rotate(-90 14 %g)">validation MLM loss, nats</text>\n), $height / 2, $height / 2;
for my $i (0 .. $#series) {
    my $colour = $colours[$i % @colours];
    for my $run (@{ $series[$i]{runs} }) {
        my $path = join 'L', map { sprintf '%.1f %.1f', $x->($_->[0]), $y->($_->[1]) } @$run;
        print qq(<path d="M$path" fill="none" stroke="$colour" stroke-width="1.5"/>\n);
    }
    my $at = $top + 16 + 18 * $i;
    printf qq(<path d="M%g %gh20" stroke="%s" stroke-width="2"/><text x="%g" y="%g">%s</text>\n), $width - $right + 10, $at, $colour,
        $width - $right + 36, $at + 4, $series[$i]{label};
}
print "</svg>\n";
