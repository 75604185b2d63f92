#!/usr/bin/env perl
# Makes plain text of two kinds of files that Debian ships, with nothing but perl-base and gzip:
#   demo_text.pl novels FOLDER OUT     an R package's data (Rdata.rdx, Rdata.rdb): every variable that is a vector of strings
#   demo_text.pl pod OUT FILE.pod…     Perl's documentation: prose only, no code
# One paragraph a line, an empty line between chapters, one .txt a work. Prints the bytes written.
use strict;
use warnings;

# ---- R's serialisation, format X (big-endian), as far as vectors, lists and their names go ("R Internals", section 1.8) -----------

my ($data, $at, @symbols);

sub take { my ($bytes) = @_; $at + $bytes <= length $data or die "R data: cut off at byte $at\n"; $at += $bytes; return substr($data, $at - $bytes, $bytes); }
sub take_int { return unpack 'l>', take(4); }

# An object: a hash {values => […], names => […]} for vectors, a string for symbols and strings, undef for NULL and NA.
sub read_object {
    my $flags = take_int();
    my ($type, $has_attributes, $has_tag) = ($flags & 0xff, $flags & 0x200, $flags & 0x400);
    return undef if $type == 254;
    return $symbols[($flags >> 8) - 1] if $type == 255;
    if ($type == 1) { push @symbols, read_object(); return $symbols[-1]; }
    if ($type == 9) { my $length = take_int(); return $length < 0 ? undef : take($length); }
    if ($type == 2) { return read_pairs($has_tag); }
    my $length = take_int();
    my %object = (values => []);
    if    ($type == 10 || $type == 13) { $object{values} = [unpack 'l>*', take(4 * $length)]; }
    elsif ($type == 16 || $type == 19) { push @{$object{values}}, read_object() for 1 .. $length; }
    else { die "R data: an object of type $type at byte $at, which this reader does not know\n"; }
    $object{names} = read_object()->{names}{values} if $has_attributes;
    return \%object;
}

# The rest of a pairlist whose first flags have been read: a hash from tag to value.
sub read_pairs {
    my ($has_tag) = @_;
    my %pairs;
    while (1) {
        my $tag = $has_tag ? read_object() : '';
        $pairs{$tag} = read_object();
        my $flags = take_int();
        return \%pairs if ($flags & 0xff) == 254;
        ($flags & 0xff) == 2 or die "R data: a broken list at byte $at\n";
        $has_tag = $flags & 0x400;
    }
}

sub parse {
    ($data, $at, @symbols) = ($_[0], 0);
    take(2) eq "X\n" or die "R data: not in format X\n";
    my $version = take_int();
    take(8);
    take(take_int()) if $version == 3;  # the native encoding's name
    $version == 2 || $version == 3 or die "R data: version $version, expected 2 or 3\n";
    return read_object();
}

sub read_bytes { my ($path) = @_; open my $in, '<:raw', $path or die "$path: $!\n"; local $/; return scalar <$in>; }
sub pipe_from { my ($command) = @_; open my $in, '-|:raw', $command or die "gzip: $!\n"; local $/; my $text = <$in>; close $in; return $text; }

# A zlib stream dressed as gzip: same deflate data, other frame. The checksum is not known, so gzip complains; the length is checked instead.
sub inflate {
    my ($zlib, $length, $scratch) = @_;
    open my $out, '>:raw', $scratch or die "$scratch: $!\n";
    print $out "\x1f\x8b\x08", "\0" x 7, substr($zlib, 2, -4), "\0" x 8;
    close $out or die "$scratch: $!\n";
    my $text = pipe_from("gzip -dc < '$scratch' 2>/dev/null");
    unlink $scratch;
    length $text == $length or die "R data: a chunk has ${\length $text} bytes, expected $length\n";
    return $text;
}

sub write_work {
    my ($out, $name, @lines) = @_;
    open my $file, '>:raw', "$out/$name.txt" or die "$out/$name.txt: $!\n";
    print $file map { "$_\n" } @lines;
    close $file or die "$out/$name.txt: $!\n";
    return -s "$out/$name.txt";
}

# Lines of about 70 columns become one line a paragraph; headings of chapters begin a new document.
sub paragraphs {
    my @paragraphs;
    for my $paragraph (split /\n\s*\n/, join "\n", @_) {
        $paragraph =~ s/\s+/ /g;
        $paragraph =~ s/^ | $//g;
        $paragraph =~ s/_([^_]+)_/$1/g;  # emphasis
        push @paragraphs, '' if $paragraph =~ /^(chapter|volume) [0-9ivxlc]+\b/i;
        push @paragraphs, $paragraph if length $paragraph;
    }
    return @paragraphs;
}

sub novels {
    my ($folder, $out) = @_;
    my $index = parse(pipe_from("gzip -dc < '$folder/Rdata.rdx'"))->{values}[0];
    my $store = read_bytes("$folder/Rdata.rdb");
    my $bytes = 0;
    for my $i (0 .. $#{$index->{names}}) {
        my ($offset, $length) = @{$index->{values}[$i]{values}};
        my $chunk = substr $store, $offset, $length;
        my $lines = parse(inflate(substr($chunk, 4), unpack('N', $chunk), "$out/chunk.gz"))->{values};
        $bytes += write_work($out, $index->{names}[$i], paragraphs(map { defined $_ ? $_ : '' } @$lines));
    }
    return $bytes;
}

# ---- Perl's documentation (perlpod) --------------------------------------------------------------------------------------------

my %escapes = (lt => '<', gt => '>', verbar => '|', sol => '/');

# What a formatting code leaves of its content; codes nest, so the caller begins with the innermost.
sub code {
    my ($letter, $content) = @_;
    return $escapes{$content} // '' if $letter eq 'E';
    return '' if $letter eq 'X' || $letter eq 'Z';
    return $content if $letter ne 'L';
    $content =~ s/^[^|]*\K\|.*//s;  # L<text|target>
    $content =~ s{^/?"?|"$}{}g;     # L</"section">
    return $content;
}

sub plain {
    my ($text) = @_;
    $text =~ s/\b([A-Z])<<+\s+(.*?)\s+>>+/code($1, $2)/gse;
    1 while $text =~ s/\b([A-Z])<([^<>]*)>/code($1, $2)/ge;
    $text =~ s/\s+/ /g;
    $text =~ s/^ | $//g;
    return $text;
}

sub prose {
    my ($source) = @_;
    my (@lines, $foreign);
    my $inside = 0;  # between a command and =cut
    for my $block (split /\n\s*\n/, $source) {
        $block =~ s/^\n+//;
        if ($block =~ /^=(\w+)\s*(.*)/s) {
            my ($command, $text) = ($1, $2);
            $inside = $command ne 'cut';
            $foreign = $command eq 'begin' if $command eq 'begin' || $command eq 'end';
            next if $foreign || $command !~ /^head/;
            push @lines, '' if $command eq 'head1' && @lines;
            push @lines, plain($text);
        } elsif ($inside && !$foreign && $block !~ /^\s/) {
            my $text = plain($block);
            push @lines, $text if $text =~ /[a-z]/;
        }
    }
    return @lines;
}

sub pods {
    my ($out, @files) = @_;
    my $bytes = 0;
    for my $file (@files) {
        next if $file =~ /perl(toc|uniprops|cn|jp|ko|tw)\.pod$/;  # tables; other languages
        my ($name) = $file =~ m{([^/]+)\.pod$} or die "$file: not a .pod\n";
        $bytes += write_work($out, $name, prose(read_bytes($file)));
    }
    return $bytes;
}

my ($kind, @rest) = @ARGV;
if    (($kind // '') eq 'novels' && @rest == 2) { print novels(@rest), "\n"; }
elsif (($kind // '') eq 'pod' && @rest >= 2)    { print pods(@rest), "\n"; }
else { die "usage: demo_text.pl novels FOLDER OUT | demo_text.pl pod OUT FILE.pod…\n"; }
