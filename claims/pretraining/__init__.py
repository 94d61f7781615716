"""How much pre-training is enough to discover a good subnetwork? (Wolfe et al., arXiv 2108.00259): six claims.

In the paper's order: `tasks` and `descent` (data and the network under gradient descent), then one measurement per
claim: `selection_bounds` (PT1), `descent_rate` (PT2), `threshold_bounds` (PT3), `dataset_size` (PT4), `digits_curves`
(PT5), `direct_training` (PT6). Criteria stand beside the measurements or in `…_verdict`; pictures in `figures`.
"""

from pruneproof.claims.claim import Claim, Paper

from . import (
    dataset_size,
    dataset_size_verdict,
    descent_rate,
    digits_curves,
    digits_curves_verdict,
    direct_training,
    figures,
    selection_bounds,
    threshold_bounds,
    threshold_bounds_verdict,
    threshold_figures,
)

PAPER = Paper(
    "pretraining",
    "How much pre-training is enough to discover a good subnetwork?",
    "Cameron R. Wolfe, Fangshuo Liao, Qihan Wang, Junhyung Lyle Kim, Anastasios Kyrillidis",
    2021,
    "2108.00259",
)

PT1 = Claim(
    "PT1",
    r"Greedy selection with replacement obeys, for every $k$: $\sqrt{\ell(u_k)} \le \sqrt{\ell(\bar s)} + "
    r"\sqrt{V/(2k)}$ and "
    r"$\ell(u_k) \le \ell(\bar s) + V H_k/(2k)$ (G1); $\ell(u_k) \le W^2/(2k^2)$ for a target inside the hull of "
    r"the neurons (G2); "
    r"and with line search $\|u_k - s\|^2 \le (1 - \gamma^2/D^2)^k \|u_0 - s\|^2$ (G3).",
    "derived: G1, G2, G3 in theory/theorems/greedy/proof.md; the selection rule is that of Ye et al., arXiv 2003.01794",
    selection_bounds.CRITERION,
    selection_bounds.measure,
    paper=PAPER.key,
    grid=selection_bounds.grid,
    judge=selection_bounds.judge,
    figures=figures.selection_losses,
    theorem=True,
    says_not="That the bounds are tight, or that they cover selection without replacement, as in the released code.",
)

PT2 = Claim(
    "PT2",
    r"Gradient descent of the dense network converges at least at the rate $\|r_t\| \le (1 - \eta\lambda_0/16)^t "
    r"\|r_0\|$ and moves "
    r"at most $8\|r_0\|/\sqrt{\lambda_0}$ if $N \ge 256 M^2 \|X\|^2 \|r_0\|^2/\lambda_0^2$ and $\eta \le "
    r"1/(B^2\|X\|^2)$.",
    "derived: P1 in theory/theorems/pretraining/proof.md",
    descent_rate.CRITERION,
    descent_rate.measure,
    paper=PAPER.key,
    grid=descent_rate.grid,
    judge=descent_rate.judge,
    figures=figures.descent_rates,
    theorem=True,
    says_not="Anything about networks of usual width: the condition asks for thousands of neurons per example.",
)

PT3 = Claim(
    "PT3",
    r"A network pruned after $t$ iterations has $\ell(u_k) \le (q^t\sqrt{L_0} + \sqrt{V_t/(2k)})^2$, hence "
    r"$\ell(u_k) \le 2V_t/k$ from "
    r"$t^* = \lceil \log(2kL_0/V_t)/(2\log(1/q)) \rceil$ on (T1); a rate in $k^{-2}$ from a threshold independent "
    r"of $k$ on (T2); and "
    r"no training example is lost from $t = (\log m + \log 8L_0)/(2\log(1/q))$ on, if $k > 4mV_t$ (T3).",
    "derived: T1, T2, T3 in theory/theorems/pretraining/proof.md",
    threshold_bounds_verdict.CRITERION,
    threshold_bounds.measure,
    paper=PAPER.key,
    grid=threshold_bounds.grid,
    judge=threshold_bounds_verdict.judge,
    figures=threshold_figures.predicted_and_measured,
    theorem=True,
    says_not="That so much pre-training is needed: the thresholds suffice, and untrained networks often do already.",
)

PT4 = Claim(
    "PT4",
    r"The number of pre-training iterations beyond which the pruned network is good is logarithmic in the size of the "
    r"dataset: $t^*(m) = a + b \log m$.",
    "published: abstract of arXiv 2108.00259; the sense in which it is proved is T3 in "
    "theory/theorems/pretraining/proof.md",
    dataset_size_verdict.CRITERION,
    dataset_size.measure,
    paper=PAPER.key,
    grid=dataset_size.grid,
    judge=dataset_size_verdict.judge,
    figures=threshold_figures.thresholds,
    says_not="What happens beyond the sizes measured: over one decade of m an onset followed by slow growth also looks "
    "like a + b·log m with a negative a; the dense network's own time follows the conditioning, not log m. Nor that "
    "the verdict is robust: of three pilots with other widths, sizes k and fits, two held and one did not.",
)

PT5 = Claim(
    "PT5",
    "On real images a larger dataset needs more pre-training before greedy pruning gives a small training error.",
    "published: arXiv 2108.00259, experiments (on MNIST there, on digits here)",
    digits_curves_verdict.CRITERION,
    digits_curves.measure,
    paper=PAPER.key,
    grid=digits_curves.grid,
    judge=digits_curves_verdict.judge,
    figures=figures.digits_errors,
    says_not="Anything about test error, deeper networks, or how the threshold grows with m (that is PT4).",
)

PT6 = Claim(
    "PT6",
    r"The loss of $n$ neurons selected greedily from a wide pre-trained network falls as about $n^{-2}$, that of a "
    r"network of "
    r"$n$ neurons trained directly as about $n^{-1}$.",
    "published: the authors' released curve has slopes -1.91 and -0.83 and a crossing near n = 220 to 320",
    direct_training.CRITERION,
    direct_training.measure,
    paper=PAPER.key,
    grid=direct_training.grid,
    judge=direct_training.judge,
    figures=figures.direct_losses,
    says_not="Which of the two is better at equal cost: the wide network had the same number of steps, not of flops.",
)

CLAIMS = (PT1, PT2, PT3, PT4, PT5, PT6)

__all__ = [
    "Claim",
    "Paper",
    "dataset_size",
    "dataset_size_verdict",
    "descent_rate",
    "digits_curves",
    "digits_curves_verdict",
    "direct_training",
    "figures",
    "selection_bounds",
    "threshold_bounds",
    "threshold_bounds_verdict",
    "threshold_figures",
]
