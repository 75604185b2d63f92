#!/usr/bin/env perl
# What a kernel's machine code does, from nvdisasm's text: machine_code.pl ARCHITECTURE <TEXT. A line for each kernel:
#   architecture, mangled name, 16-byte accesses of global memory in its hot code, narrower ones there, 8- and 16-bit ones among them,
#   tensor-core instructions there, instructions there, accesses of local memory anywhere, calls in loops, divisions in loops.
# Hot code: where memory is read or written 16 bytes at a time, or tensor cores are used: all that its loop executes on the way through such an
# instruction, or, outside of loops, the kernel. So the last few elements of an odd length, which have a loop or branch of their own, are not in it.
# With neither, the hot code is what is in loops.
use strict;
use warnings;

my $architecture = shift // die "usage: machine_code.pl ARCHITECTURE <TEXT\n";

# ---- the text -------------------------------------------------------------------------------------------------------

# A kernel: name, and its basic blocks in order, each {code => [[operation, operands], …], next => [labels], label}.
my (@kernels, $blocks);

sub new_block {
    my ($label) = @_;
    # What stands before a label goes on at it.
    push @{$blocks->[-1]{next}}, $label if @$blocks && !$blocks->[-1]{ends};
    push @$blocks, {label => $label, code => [], next => []};
}

sub end_block {
    my ($falls_through, @targets) = @_;
    my $block = $blocks->[-1];
    push @{$block->{next}}, @targets;
    $block->{ends} = 1;
    my $following = "after " . scalar @$blocks;
    push @{$block->{next}}, $following if $falls_through;
    push @$blocks, {label => $following, code => [], next => []};
}

sub add_instruction {
    my ($predicate, $operation, $operands) = @_;
    return if $operation =~ /^NOP/;
    my ($target) = $operands =~ /`\((\.L_x_\d+)\)/;
    # Before compute capability 9.0 some jumps are written as calls.
    $operation = 'BRA' if $operation =~ /^CALL\b/ && $target;
    push @{$blocks->[-1]{code}}, [$operation, $operands];
    if ($operation =~ /^(BRA|JMP)\b/) {
        # Where the lanes of a warp may have parted: the way out of line is for that case.
        return if $operation =~ /\.DIV/;
        # `BRA P1, LABEL` has its condition among the operands.
        my $conditional = $predicate || $operands =~ /^\s*!?U?P\d/;
        end_block($conditional, $target // ());
    } elsif ($operation =~ /^(EXIT|RET)\b/) {
        end_block($predicate);
    }
}

sub parse {
    my %is_kernel;
    while (<STDIN>) {
        if (/\.other\s+(\S+?),\s*\@"?STO_CUDA_ENTRY/) {
            $is_kernel{$1} = 1;
        } elsif (/^\.text\.(\S+):/) {
            $blocks = [];
            push @kernels, {name => $1, blocks => $blocks};
            new_block('entry');
        } elsif (/^([.\$\w]+):/ && $blocks) {
            new_block($1);
        } elsif (m{^\s+/\*[0-9a-f]+\*/\s+\{?\s*(@!?U?P\w+\s+)?([A-Z][\w.]*)\s*(.*?)\s*;} && $blocks) {
            add_instruction($1, $2, $3);
        }
    }
    @kernels = grep { $is_kernel{$_->{name}} } @kernels;
}

# ---- the flow -------------------------------------------------------------------------------------------------------

# Numbers the blocks that can be reached, and gives each its predecessors; in reverse postorder.
sub order {
    my ($blocks) = @_;
    my %by_label = map { $_->{label} => $_ } @$blocks;
    my (@order, %state);
    my $visit;
    my @stack = ([$blocks->[0], 0]);
    $state{$blocks->[0]} = 1;
    while (@stack) {
        my ($block, $i) = @{$stack[-1]};
        if ($i == 0) { $block->{successors} = [grep { defined } map { $by_label{$_} } @{$block->{next}}] }
        if ($i < @{$block->{successors}}) {
            $stack[-1][1]++;
            my $next = $block->{successors}[$i];
            next if $state{$next}++;
            push @stack, [$next, 0];
        } else {
            unshift @order, $block;
            pop @stack;
        }
    }
    for my $i (0 .. $#order) { @{$order[$i]}{'number', 'predecessors'} = ($i, []) }
    for my $block (@order) { push @{$_->{predecessors}}, $block for @{$block->{successors}} }
    return \@order;
}

# Immediate dominators (Cooper, Harvey, Kennedy: A Simple, Fast Dominance Algorithm).
sub dominators {
    my ($order) = @_;
    my @dominator = (0);
    my $changed = 1;
    while ($changed) {
        $changed = 0;
        for my $block (@$order[1 .. $#$order]) {
            my $new;
            for my $p (grep { defined $dominator[$_] } map { $_->{number} } @{$block->{predecessors}}) {
                my ($a, $b) = ($p, $new // $p);
                while ($a != $b) {
                    $a = $dominator[$a] while $a > $b;
                    $b = $dominator[$b] while $b > $a;
                }
                $new = $a;
            }
            next if defined $dominator[$block->{number}] && $dominator[$block->{number}] == $new;
            $dominator[$block->{number}] = $new;
            $changed = 1;
        }
    }
    return \@dominator;
}

# Sets each block's `loop`: the header's number of the innermost loop that it is in, or -1.
sub find_loops {
    my ($order) = @_;
    my $dominator = dominators($order);
    my %body;    # header → {block → 1}
    for my $block (@$order) {
        for my $header (map { $_->{number} } @{$block->{successors}}) {
            my $d = $block->{number};
            $d = $dominator->[$d] while $d > $header;
            next unless $d == $header;
            $body{$header}{$header} = 1;
            my @work = ($block->{number});
            while (@work) {
                my $b = pop @work;
                next if $body{$header}{$b}++;
                push @work, map { $_->{number} } @{$order->[$b]{predecessors}};
            }
        }
    }
    $_->{loop} = -1 for @$order;
    for my $header (sort { keys %{$body{$b}} <=> keys %{$body{$a}} } keys %body) {
        $order->[$_]{loop} = $header for keys %{$body{$header}};
    }
}

# The numbers of the blocks of the same loop that can be reached from `block`, by `edges`, in one turn of it.
sub in_one_turn {
    my ($order, $block, $edges) = @_;
    my %seen;
    my @work = ($block);
    while (@work) {
        my $b = pop @work;
        next if $seen{$b->{number}}++;
        for my $next (@{$b->{$edges}}) {
            my $back = $edges eq 'successors' ? $next->{number} <= $b->{number} : $next->{number} >= $b->{number};
            push @work, $next unless $back;
        }
    }
    return grep { $order->[$_]{loop} == $block->{loop} } keys %seen;
}

# ---- what is counted ------------------------------------------------------------------------------------------------

my $global = qr/^(LDG|STG|LDGSTS|LD|ST|ATOMG|ATOM|RED|REDG)\b/;
sub is_wide { return $_[0] =~ $global && $_[0] =~ /\.(128|256)\b|ENL2/ }
sub is_mma { return $_[0] =~ /^(HMMA|IMMA|HGMMA|WGMMA)\b/ }

sub hot_blocks {
    my ($order) = @_;
    my %hot;
    for my $block (grep { grep { is_wide($_->[0]) || is_mma($_->[0]) } @{$_->{code}} } @$order) {
        $hot{$_} = 1 for in_one_turn($order, $block, 'successors'), in_one_turn($order, $block, 'predecessors');
    }
    if (!%hot) { $hot{$_->{number}} = 1 for grep { $_->{loop} >= 0 } @$order }
    return \%hot;
}

sub measure {
    my ($kernel) = @_;
    my $order = order($kernel->{blocks});
    find_loops($order);
    my $hot = hot_blocks($order);
    my %count = map { $_ => 0 } qw(wide narrow bytes mma instructions local calls divisions);
    for my $block (@$order) {
        my $is_hot = $hot->{$block->{number}};
        for my $operation (map { $_->[0] } @{$block->{code}}) {
            $count{local}++ if $operation =~ /^(LDL|STL)\b/;
            if ($block->{loop} >= 0) {
                $count{calls}++ if $operation =~ /^CALL\b/;
                # FCHK looks whether an exact division needs its slow path; an integer becomes a float, rounded up, to divide by it.
                $count{divisions}++ if $operation =~ /^FCHK\b|^I2FP?\b.*\.RP\b/;
            }
            next unless $is_hot;
            $count{instructions}++;
            $count{mma}++ if is_mma($operation);
            next unless $operation =~ $global;
            if (is_wide($operation)) { $count{wide}++; next }
            $count{narrow}++;
            $count{bytes}++ if $operation =~ /\.[US](8|16)\b/;
        }
    }
    print join("\t", $architecture, $kernel->{name}, @count{qw(wide narrow bytes mma instructions local calls divisions)}), "\n";
}

parse();
measure($_) for @kernels;
