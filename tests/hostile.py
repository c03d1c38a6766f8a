"""Study files that must be refused: (id, TOML text, the field that the message names).

Each is one change to a study that is accepted.
"""

from __future__ import annotations

GOOD_STUDY = """\
[model]
parameters = ["w", "a", "b"]
inputs = ["x"]
prediction = "a*tanh(w*x) + b*x"
loss = "square"

[data]
x = [[1.0], [3.0]]
y = [1.0, 0.5]

[algorithm]
lr = 0.27
batch_size = "full"
sampling = "with-replacement"
momentum = 0.0

[algorithm.noise]
kind = "label"
sigma = 0.1

[start]
w = 2.0
a = 1.3
b = -0.27

[run]
margin = 0.02
confidence = 0.999
budget = 60.0
seed = 0

[[claim]]
kind = "fixed-point"
theory = "derived"
"""

_PREDICTION = 'prediction = "a*tanh(w*x) + b*x"'
_X = "x = [[1.0], [3.0]]"
_Y = "y = [1.0, 0.5]"
_BATCH = 'batch_size = "full"'
_NOISE = 'kind = "label"\nsigma = 0.1'
_CLAIM = '[[claim]]\nkind = "fixed-point"\ntheory = "derived"\n'
_CONJECTURE = '[[claim]]\nkind = "drift"\ntheory = "conjecture"\n'


def _with(old: str, new: str) -> str:
    assert GOOD_STUDY.count(old) == 1, old
    return GOOD_STUDY.replace(old, new)


def _prediction(text: str) -> str:
    return _with(_PREDICTION, f"prediction = '''{text}'''")


def _claim(text: str) -> str:
    return _with(_CLAIM, text)


def _rule(text: str) -> str:
    return _with("[algorithm.noise]", f"[algorithm.rule]\n{text}\n[algorithm.noise]")


HOSTILE_STUDIES: list[tuple[str, str, str]] = [
    # Files that are no study.
    ("empty file", "", "model"),
    ("not TOML", "model: {a: 1}", "study"),
    ("unclosed table", "[model", "study"),
    ("key twice", "[model]\n[model]\n", "study"),
    ("null byte", GOOD_STUDY + "\0", "study"),
    ("array 5,000 deep", "a = " + "[" * 5000 + "]" * 5000, "study"),
    ("dotted key 100,000 deep", _with(_PREDICTION, "prediction." + "a." * 100_000 + "a = 1"), "study"),
    ("quoted key 100,000 deep", "['a' " + '. "a"' * 100_000 + "]", "study"),
    ("tables 200 deep", _with(_PREDICTION, "prediction = " + "{a=" * 200 + "1" + "}" * 200), "model.prediction"),
    ("integer of 5,000 digits", _with("lr = 0.27", "lr = " + "9" * 5000), "study"),
    ("hexadecimal integer of 9,000 digits", _with("seed = 0", "seed = 0x" + "f" * 9000), "run.seed"),
    ("table where a value belongs", _with("lr = 0.27", "lr = {a = 1}"), "algorithm.lr"),
    ("date for a number", _with("lr = 0.27", "lr = 1979-05-27"), "algorithm.lr"),
    ("claim is one table", _claim('[claim]\nkind = "drift"\n'), "claim"),
    ("no claim", _claim(""), "claim"),
    ("claim list empty", "claim = []\n" + _claim(""), "claim"),
    ("no start", _with("[start]\nw = 2.0\na = 1.3\nb = -0.27\n", ""), "start"),
    ("no noise", _with(f"[algorithm.noise]\n{_NOISE}\n", ""), "algorithm.noise"),
    # Unknown keys.
    ("unknown table", GOOD_STUDY + "[[claims]]\n", "claims"),
    ("unknown key", _with("lr = 0.27", "lr = 0.27\nlearning_rate = 1"), "algorithm.learning_rate"),
    ("unknown key with escapes", _with("lr = 0.27", 'lr = 0.27\n"\\u001b[31m" = 1'), 'algorithm."\\u001b[31m"'),
    ("unknown key of noise", _with("sigma = 0.1", "sigma = 0.1\nsigm = 1"), "algorithm.noise.sigm"),
    ("unknown key of a claim", _claim(_CLAIM + "regulariser = 'a'\n"), "claim[0].regulariser"),
    # Names.
    ("no parameter", _with('["w", "a", "b"]', "[]"), "model.parameters"),
    ("parameter twice", _with('["w", "a", "b"]', '["w", "a", "a"]'), "model.parameters[2]"),
    ("parameter is an input", _with('inputs = ["x"]', 'inputs = ["a"]').replace("*x", "*a"), "model.parameters"),
    ("parameter is a function", _with('["w", "a", "b"]', '["w", "a", "exp"]'), "model.parameters[2]"),
    ("parameter is a keyword", _with('["w", "a", "b"]', '["w", "a", "lambda"]'), "model.parameters[2]"),
    ("parameter is code", _with('["w", "a", "b"]', '["w", "a", "b=CANARY"]'), "model.parameters[2]"),
    ("parameter is dunder", _with('["w", "a", "b"]', '["w", "a", "__class__"]'), "model.parameters[2]"),
    ("parameter is a homoglyph", _with('["w", "a", "b"]', '["w", "a", "\u0430"]'), "model.parameters[2]"),
    ("parameter is a number", _with('["w", "a", "b"]', '["w", "a", 1]'), "model.parameters[2]"),
    ("parameter name too long", _with('["w", "a", "b"]', f'["w", "a", "{"b" * 65}"]'), "model.parameters[2]"),
    ("too many parameters", _with('["w", "a", "b"]', str([f"p{i}" for i in range(3000)])), "model.prediction"),
    # Predictions; expressions have their own list in test_expressions.py.
    ("code as prediction", _prediction("__import__('os').system('touch CANARY')"), "model.prediction"),
    ("code in a call", _prediction('open("CANARY", "w")'), "model.prediction"),
    ("power tower", _prediction("9**9**9"), "model.prediction"),
    ("20,000 characters", _prediction("a+" * 10_000 + "a"), "model.prediction"),
    ("5,000 brackets", _prediction("(" * 5000), "model.prediction"),
    ("undeclared name", _prediction("a*z"), "model.prediction"),
    ("constant prediction", _prediction("1"), "model.prediction"),
    ("prediction is a number", _with(_PREDICTION, "prediction = 1"), "model.prediction"),
    ("prediction list empty", _with(_PREDICTION, "prediction = []"), "model.prediction"),
    ("prediction list with inputs", _with(_PREDICTION, 'prediction = ["a", "b"]'), "model.prediction"),
    ("unknown loss", _with('loss = "square"', 'loss = "hinge"'), "model.loss"),
    ("logistic loss of targets", _with('loss = "square"', 'loss = "logistic"'), "data.y"),
    ("one logit", _with('loss = "square"', 'loss = "cross-entropy"'), "model.prediction"),
    (
        "logits of targets",
        _with('"square"', '"cross-entropy"').replace(_PREDICTION, 'prediction = ["a", "b"]'),
        "data.y",
    ),
    # Data.
    ("no data", _with(f"{_X}\n{_Y}", ""), "data.y"),
    ("empty data", _with(f"{_X}\n{_Y}", "x = []\ny = []"), "data.y"),
    ("ragged data", _with(_X, "x = [[1.0], [3.0, 4.0]]"), "data.x"),
    ("wrong shape", _with(_X, "x = [[1.0, 2.0], [3.0, 4.0]]"), "data.x"),
    ("flat data", _with(_X, "x = [1.0, 3.0]"), "data.x[0]"),
    ("lengths differ", _with(_Y, "y = [1.0, 0.5, 0.1]"), "data.x"),
    ("nan in the data", _with(_X, "x = [[1.0], [nan]]"), "data.x[1][0]"),
    ("inf in the targets", _with(_Y, "y = [1.0, -inf]"), "data.y[1]"),
    ("boolean in the targets", _with(_Y, "y = [1.0, true]"), "data.y[1]"),
    ("text in the targets", _with(_Y, 'y = [1.0, "2"]'), "data.y[1]"),
    ("data without inputs", _with('inputs = ["x"]', "inputs = []").replace("*x", ""), "data.x"),
    ("file beside x", _with(_X, f'{_X}\nfile = "points.csv"'), "data.file"),
    ("file missing", _with(f"{_X}\n{_Y}", 'file = "no such file.csv"'), "data.file"),
    ("file name with null", _with(f"{_X}\n{_Y}", 'file = "a\\u0000b"'), "data.file"),
    ("file is a folder", _with(f"{_X}\n{_Y}", 'file = "."'), "data.file"),
    ("file is a device", _with(f"{_X}\n{_Y}", 'file = "/dev/zero"'), "data.file"),
    ("power of huge data", _with(_X, "x = [[1.0], [3e9]]").replace("a*tanh(w*x)", "x**x*a"), "data.x"),
    # Algorithm.
    ("lr zero", _with("lr = 0.27", "lr = 0"), "algorithm.lr"),
    ("lr nan", _with("lr = 0.27", "lr = nan"), "algorithm.lr"),
    ("lr boolean", _with("lr = 0.27", "lr = true"), "algorithm.lr"),
    ("lr text", _with("lr = 0.27", 'lr = "0.27"'), "algorithm.lr"),
    ("lr overflows", _with("lr = 0.27", "lr = 1e999"), "algorithm.lr"),
    ("batch zero", _with(_BATCH, "batch_size = 0"), "algorithm.batch_size"),
    ("batch fraction", _with(_BATCH, "batch_size = 1.0"), "algorithm.batch_size"),
    ("batch boolean", _with(_BATCH, "batch_size = true"), "algorithm.batch_size"),
    ("batch too large", _with(_BATCH, "batch_size = 1000001"), "algorithm.batch_size"),
    (
        "batch above n without replacement",
        _with(_BATCH, "batch_size = 3").replace('"with-', '"without-'),
        "algorithm.batch_size",
    ),
    ("unknown sampling", _with('"with-replacement"', '"shuffled"'), "algorithm.sampling"),
    ("momentum one", _with("momentum = 0.0", "momentum = 1"), "algorithm.momentum"),
    ("sigma negative", _with("sigma = 0.1", "sigma = -0.1"), "algorithm.noise.sigma"),
    ("sigma missing", _with("sigma = 0.1", ""), "algorithm.noise.sigma"),
    ("sigma of wrong length", _with("sigma = 0.1", "sigma = [0.1, 0.1, 0.1]"), "algorithm.noise.sigma"),
    ("sigma without noise", _with('kind = "label"', 'kind = "none"'), "algorithm.noise.sigma"),
    ("flip above one half", _with(_NOISE, 'kind = "flip"\nflip = 0.6'), "algorithm.noise.flip"),
    ("flips of targets", _with(_NOISE, 'kind = "flip"\nflip = 0.2'), "data.y"),
    ("unknown noise", _with('kind = "label"', 'kind = "pink"'), "algorithm.noise.kind"),
    ("rule unknown", _rule('kind = "adam"'), "algorithm.rule.kind"),
    ("rule lacks its constant", _rule('kind = "nesterov"'), "algorithm.rule.beta"),
    ("rule with another's constant", _rule('kind = "nesterov"\nbeta = 0.5\nrho = 1.0'), "algorithm.rule.rho"),
    ("rule with beta one", _rule('kind = "heavy-ball"\nbeta = 1'), "algorithm.rule.beta"),
    ("diagonal is a number", _rule('kind = "preconditioned"\ndiagonal = 1.0'), "algorithm.rule.diagonal"),
    ("diagonal of wrong length", _rule('kind = "preconditioned"\ndiagonal = [1.0]'), "algorithm.rule.diagonal"),
    ("diagonal negative", _rule('kind = "preconditioned"\ndiagonal = [1, 1, -1]'), "algorithm.rule.diagonal"),
    (
        "momentum beside a rule",
        _rule('kind = "sgd"').replace("momentum = 0.0", "momentum = 0.5"),
        "algorithm.momentum",
    ),
    # Start.
    ("start lacks one", _with("b = -0.27\n", ""), "start"),
    ("start has one too many", _with("b = -0.27\n", "b = -0.27\nc = 1.0\n"), "start"),
    ("start boolean", _with("b = -0.27", "b = false"), "start.b"),
    ("start nan", _with("b = -0.27", "b = nan"), "start.b"),
    # Run.
    ("margin one", _with("margin = 0.02", "margin = 1"), "run.margin"),
    ("confidence one half", _with("confidence = 0.999", "confidence = 0.5"), "run.confidence"),
    ("budget zero", _with("budget = 60.0", "budget = 0"), "run.budget"),
    ("budget infinite", _with("budget = 60.0", "budget = inf"), "run.budget"),
    ("seed negative", _with("seed = 0", "seed = -1"), "run.seed"),
    ("seed boolean", _with("seed = 0", "seed = true"), "run.seed"),
    # Claims.
    ("unknown kind", _with('kind = "fixed-point"', 'kind = "speed"'), "claim[0].kind"),
    ("window missing", _with('kind = "fixed-point"', 'kind = "coupling"'), "claim[0].window"),
    ("window unknown", _with('kind = "fixed-point"', 'kind = "coupling"\nwindow = "wide"'), "claim[0].window"),
    ("gamma missing", _with('kind = "fixed-point"', 'kind = "reaches"'), "claim[0].gamma"),
    ("gamma negative", _with('kind = "fixed-point"', 'kind = "hitting-time"\ngamma = -0.1'), "claim[0].gamma"),
    ("gamma of another kind", _with('kind = "fixed-point"', 'kind = "fixed-point"\ngamma = 0.1'), "claim[0].gamma"),
    (
        "displacement too short",
        _with('kind = "fixed-point"', 'kind = "hitting-time"\ngamma = 0.1\ndisplacement = [0.1]'),
        "claim[0].displacement",
    ),
    (
        "displacement of texts",
        _with('kind = "fixed-point"', 'kind = "hitting-time"\ngamma = 0.1\ndisplacement = ["a", "b", "c"]'),
        "claim[0].displacement[0]",
    ),
    (
        "exponent zero",
        _with('kind = "fixed-point"', 'kind = "hitting-exponent"\ngamma = 0.1\nexponent = 0'),
        "claim[0].exponent",
    ),
    (
        "bound a number",
        _with('kind = "fixed-point"', 'kind = "hitting-exponent"\ngamma = 0.1\nbound = 1'),
        "claim[0].bound",
    ),
    ("no moment", _with('kind = "fixed-point"', 'kind = "diffusion"'), "claim[0].moment"),
    ("unknown moment", _with('kind = "fixed-point"', 'kind = "diffusion"\nmoment = "third"'), "claim[0].moment"),
    ("no plane", _with('kind = "fixed-point"', 'kind = "circulation"'), "claim[0].plane"),
    (
        "plane of an unknown parameter",
        _with('kind = "fixed-point"', 'kind = "circulation"\nplane = ["a", "q"]'),
        "claim[0].plane",
    ),
    (
        "center of three numbers",
        _with('kind = "fixed-point"', 'kind = "circulation"\nplane = ["a", "b"]\ncenter = [0, 0, 0]'),
        "claim[0].center",
    ),
    ("unknown theory", _with('theory = "derived"', 'theory = "mine"'), "claim[0].theory"),
    ("conjecture without formula", _claim(_CONJECTURE), "claim[0]"),
    ("formula without conjecture", _claim(_CLAIM + 'regularizer = "a"\n'), "claim[0].regularizer"),
    (
        "bomb in the second claim",
        _claim(_CLAIM + _CONJECTURE + 'regularizer = "2**2**2**2**2**2"\n'),
        "claim[1].regularizer",
    ),
    ("regularizer with data", _claim(_CONJECTURE + 'regularizer = "a*x"\n'), "claim[0].regularizer"),
    ("strength with parameters", _claim(_CONJECTURE + 'regularizer = "a"\nstrength = "w"\n'), "claim[0].strength"),
    ("covariance ragged", _claim(_CONJECTURE + 'covariance = [["1"], ["1", "2"]]\n'), "claim[0].covariance"),
    ("covariance of wrong size", _claim(_CONJECTURE + 'covariance = [["1"]]\n'), "claim[0].covariance"),
    ("covariance of numbers", _claim(_CONJECTURE + "covariance = [[1]]\n"), "claim[0].covariance[0][0]"),
]
