"""How a function of each language is parsed, and called from outside with arguments and results as JSON."""

import msgspec

from flywheel.synthesize.sandbox import Language

_PYTHON = """
import json, sys
calls = json.load(sys.stdin)
import solution
print("\\n" + json.dumps([solution.{function}(*call) for call in calls]))
"""
_JAVASCRIPT = """
const fs = require("fs"), vm = require("vm");
global.require = require;
vm.runInThisContext(fs.readFileSync("/tmp/solution.js", "utf8"));
const called = vm.runInThisContext("{function}");
const results = JSON.parse(fs.readFileSync(0, "utf8")).map(call => called(...call));
console.log("\\n" + JSON.stringify(results));
"""
_PERL = """
use JSON::PP;
local $/;
my $calls = decode_json(<STDIN>);
defined(do "/tmp/solution.pl") or $@ and die $@;
my @results = map { scalar main->can("{function}")->(@$_) } @$calls;
print "\\n" . JSON::PP->new->utf8->canonical->allow_nonref->encode(\\@results) . "\\n";
"""
_RUBY = """
require "json"
load "/tmp/solution.rb"
puts "\\n" + JSON.generate(JSON.parse(STDIN.read).map { |call| send(:{function}, *call) })
"""


class Interpreter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How functions of one language are tried. In commands, `{file}` stands for the path of the program.

    `file` is the name of the file with the function, which lies in /tmp, the current directory. `call` is a program: it reads
    a JSON list of argument lists from standard input, calls `{function}` with each, and prints the JSON list of the results as
    its last line; `command` runs it. `parse` is a command that reads the function's file without running it; empty where there
    is none, as for Python, which is parsed and linted without starting anything. `reserves` as of `sandbox.Language`.
    """

    file: str
    call: str
    command: tuple[str, ...]
    parse: tuple[str, ...] = ()
    reserves: bool = False

    def caller(self) -> Language:
        """As the sandbox runs the calling program."""
        return Language(f"call_{self.file}", self.command, self.reserves)

    def parser(self) -> Language:
        """As the sandbox parses the function."""
        return Language(self.file, self.parse, self.reserves)


INTERPRETERS = {
    "python": Interpreter(file="solution.py", call=_PYTHON, command=("python3", "-s", "{file}")),
    "javascript": Interpreter(
        file="solution.js", call=_JAVASCRIPT, command=("node", "{file}"), parse=("node", "--check", "{file}"), reserves=True
    ),
    "perl": Interpreter(file="solution.pl", call=_PERL, command=("perl", "{file}"), parse=("perl", "-c", "{file}")),
    "ruby": Interpreter(file="solution.rb", call=_RUBY, command=("ruby", "{file}"), parse=("ruby", "-c", "{file}")),
}
"""Those that can be named without declaring them, where they are installed."""
