#!/usr/bin/env python3
"""What a kernel's machine code does, from nvdisasm's text: machine_code.py ARCHITECTURE <TEXT. A line for each kernel:
  architecture, mangled name, 16-byte accesses of global memory in its hot code, narrower ones there, 8- and 16-bit ones among them,
  tensor-core instructions there, instructions there, accesses of local memory anywhere, calls in loops, divisions in loops.
Hot code: where memory is read or written 16 bytes at a time, or tensor cores are used: all that its loop executes on the way through such an
instruction, or, outside of loops, the kernel. So the last few elements of an odd length, which have a loop or branch of their own, are not in it.
With neither, the hot code is what is in loops.
"""
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

COUNTED = ("wide", "narrow", "bytes", "mma", "instructions", "local", "calls", "divisions")


@dataclass
class Block:
    """A basic block: its operations, and the labels of the blocks that may follow it."""

    label: str
    operations: list[str] = field(default_factory=list)
    next: list[str] = field(default_factory=list)
    ends: bool = False  # with a jump
    # Of blocks that can be reached:
    number: int = -1  # in reverse postorder
    loop: int = -1  # the number of the header of the innermost loop that it is in
    successors: list["Block"] = field(default_factory=list)
    predecessors: list["Block"] = field(default_factory=list)


@dataclass
class Kernel:
    name: str
    blocks: list[Block] = field(default_factory=list)

    def begin_block(self, label: str) -> None:
        # What stands before a label goes on at it.
        if self.blocks and not self.blocks[-1].ends:
            self.blocks[-1].next.append(label)
        self.blocks.append(Block(label))

    def end_block(self, falls_through: bool, target: str | None = None) -> None:
        block = self.blocks[-1]
        block.ends = True
        following = f"after {len(self.blocks)}"
        block.next += [target] if target else []
        block.next += [following] if falls_through else []
        self.blocks.append(Block(following))

    def add_instruction(self, predicate: str | None, operation: str, operands: str) -> None:
        if operation.startswith("NOP"):
            return
        label = re.search(r"`\((\.L_x_\d+)\)", operands)
        # Before compute capability 9.0 some jumps are written as calls.
        if label and re.match(r"CALL\b", operation):
            operation = "BRA"
        self.blocks[-1].operations.append(operation)
        if re.match(r"(BRA|JMP)\b", operation):
            # Where the lanes of a warp may have parted: the way out of line is for that case.
            if ".DIV" in operation:
                return
            # `BRA P1, LABEL` has its condition among the operands.
            conditional = bool(predicate or re.match(r"\s*!?U?P\d", operands))
            self.end_block(conditional, label.group(1) if label else None)
        elif re.match(r"(EXIT|RET)\b", operation):
            self.end_block(bool(predicate))


def parse(lines: Iterable[str]) -> list[Kernel]:
    functions: list[Kernel] = []
    kernels = set()
    for line in lines:
        if entry := re.search(r'\.other\s+(\S+?),\s*@"?STO_CUDA_ENTRY', line):
            kernels.add(entry.group(1))
        elif section := re.match(r"\.text\.(\S+):", line):
            functions.append(Kernel(section.group(1)))
            functions[-1].begin_block("entry")
        elif not functions:
            continue
        elif label := re.match(r"([.$\w]+):", line):
            functions[-1].begin_block(label.group(1))
        elif code := re.match(r"\s+/\*[0-9a-f]+\*/\s+\{?\s*(@!?U?P\w+\s+)?([A-Z][\w.]*)\s*(.*?)\s*;", line):
            functions[-1].add_instruction(*code.groups())
    return [function for function in functions if function.name in kernels]


# ---- the flow -------------------------------------------------------------------------------------------------------


def connect(blocks: list[Block]) -> list[Block]:
    """The blocks that can be reached, in reverse postorder, numbered, with their successors and predecessors."""
    by_label = {block.label: block for block in blocks}
    order: list[Block] = []
    seen = {blocks[0].label}
    stack = [(blocks[0], iter(blocks[0].next))]
    while stack:
        block, labels = stack[-1]
        label = next(labels, None)
        if label is None:
            order.append(block)
            stack.pop()
        elif label in by_label:
            block.successors.append(by_label[label])
            if label not in seen:
                seen.add(label)
                stack.append((by_label[label], iter(by_label[label].next)))
    order.reverse()
    for number, block in enumerate(order):
        block.number = number
        for successor in block.successors:
            successor.predecessors.append(block)
    return order


def dominators(order: list[Block]) -> list[int]:
    """Immediate dominators (Cooper, Harvey, Kennedy: A Simple, Fast Dominance Algorithm)."""
    unknown = -1
    dominator = [0] + [unknown] * (len(order) - 1)
    changed = True
    while changed:
        changed = False
        for block in order[1:]:
            common = unknown
            for a in (p.number for p in block.predecessors):
                if dominator[a] == unknown:
                    continue
                b = a if common == unknown else common
                while a != b:
                    while a > b:
                        a = dominator[a]
                    while b > a:
                        b = dominator[b]
                common = a
            if dominator[block.number] != common:
                dominator[block.number] = common
                changed = True
    return dominator


def loop_body(order: list[Block], header: int, last: int) -> set[int]:
    """The numbers of the blocks from which `last`, which jumps back to the header, is reached without it."""
    body, work = {header}, [last]
    while work:
        number = work.pop()
        if number not in body:
            body.add(number)
            work += [p.number for p in order[number].predecessors]
    return body


def find_loops(order: list[Block]) -> None:
    """Sets each block's `loop`."""
    dominator = dominators(order)
    bodies: dict[int, set[int]] = {}
    for block in order:
        for header in (successor.number for successor in block.successors):
            above = block.number
            while above > header:
                above = dominator[above]
            if above == header:
                bodies.setdefault(header, set()).update(loop_body(order, header, block.number))
    for header, body in sorted(bodies.items(), key=lambda loop: -len(loop[1])):
        for number in body:
            order[number].loop = header


def in_one_turn(block: Block, forward: bool) -> set[int]:
    """The numbers of the blocks of the same loop that can be reached from `block`, or from which it can be, in one turn of it."""
    seen: dict[int, Block] = {}
    work = [block]
    while work:
        b = work.pop()
        if b.number in seen:
            continue
        seen[b.number] = b
        if forward:
            work += [s for s in b.successors if s.number > b.number]
        else:
            work += [p for p in b.predecessors if p.number < b.number]
    return {number for number, b in seen.items() if b.loop == block.loop}


# ---- what is counted ------------------------------------------------------------------------------------------------


def is_global(operation: str) -> bool:
    return re.match(r"(LDG|STG|LDGSTS|LD|ST|ATOMG|ATOM|RED|REDG)\b", operation) is not None


def is_wide(operation: str) -> bool:
    return is_global(operation) and re.search(r"\.(128|256)\b|ENL2", operation) is not None


def is_mma(operation: str) -> bool:
    return re.match(r"(HMMA|IMMA|HGMMA|WGMMA)\b", operation) is not None


def hot_blocks(order: list[Block]) -> set[int]:
    hot: set[int] = set()
    for block in order:
        if any(is_wide(operation) or is_mma(operation) for operation in block.operations):
            hot |= in_one_turn(block, forward=True) | in_one_turn(block, forward=False)
    return hot or {block.number for block in order if block.loop >= 0}


def count(operation: str, block: Block, is_hot: bool) -> list[str]:
    """Under which names of COUNTED an operation of that block counts."""
    found = []
    if re.match(r"(LDL|STL)\b", operation):
        found.append("local")
    if block.loop >= 0 and re.match(r"CALL\b", operation):
        found.append("calls")
    # FCHK looks whether an exact division needs its slow path; an integer becomes a float, rounded up, to divide by it.
    if block.loop >= 0 and re.match(r"FCHK\b|I2FP?\b.*\.RP\b", operation):
        found.append("divisions")
    if is_hot:
        found.append("instructions")
        if is_mma(operation):
            found.append("mma")
        if is_wide(operation):
            found.append("wide")
        elif is_global(operation):
            found.append("narrow")
            if re.search(r"\.[US](8|16)\b", operation):
                found.append("bytes")
    return found


def measure(kernel: Kernel) -> list[int]:
    order = connect(kernel.blocks)
    find_loops(order)
    hot = hot_blocks(order)
    counts = dict.fromkeys(COUNTED, 0)
    for block in order:
        for operation in block.operations:
            for name in count(operation, block, block.number in hot):
                counts[name] += 1
    return list(counts.values())


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: machine_code.py ARCHITECTURE <TEXT")
    for kernel in parse(sys.stdin):
        print(sys.argv[1], kernel.name, *measure(kernel), sep="\t")


if __name__ == "__main__":
    main()
