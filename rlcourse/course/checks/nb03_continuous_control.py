"""The checks of notebook 03: distributions, targets and losses of continuous control."""

import math

from torch import Tensor

from rlcourse.course.checks import inputs_03 as inputs
from rlcourse.course.checks import wrong_03 as wrong
from rlcourse.course.grading import Exercise, Mistake
from rlcourse.klrl import sac, svg0
from rlcourse.ops import dual
from rlcourse.ops.distributions import DiagonalGaussian, SquashedGaussian
from rlcourse.ops.targets import retrace


def squashed_log_prob(pre_tanh: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """The package's log-density of tanh(u), from u."""
    return SquashedGaussian(DiagonalGaussian(mean, std)).log_prob_from_pre_tanh(pre_tanh)


def sac_policy_loss(q: Tensor, log_prob: Tensor, temperature: float) -> Tensor:
    """The package's, with the minimum over critics inside."""
    return sac.policy_loss(q, log_prob, temperature)


EXERCISES = (
    Exercise(
        id="03.squashed_log_prob",
        reference=squashed_log_prob,
        cases=inputs.pre_tanh_samples,
        mistakes=(
            Mistake(
                "This is the density of u, before the tanh: subtract log(1 - tanh(u)^2) in each "
                "dimension",
                wrong.no_change_of_variables,
            ),
            Mistake(
                "The slope is added, and it must be subtracted: where tanh squeezes, the density "
                "of the action grows",
                wrong.slope_added,
            ),
            Mistake(
                "The form log(1 - tanh(u)^2) breaks down where tanh(u) rounds to 1: use the stable "
                "form with softplus",
                wrong.naive_slope,
            ),
            Mistake(
                "A small number inside the logarithm keeps it finite and makes it wrong: where "
                "tanh(u) rounds to 1 the slope is far smaller; use the form with softplus",
                wrong.padded_slope,
            ),
            Mistake(
                "The factor 2 of the slope is missing: its logarithm is "
                "2 (log 2 - u - softplus(-2 u))",
                wrong.half_slope,
            ),
            Mistake(
                "The softplus has the wrong sign inside: the slope is the same at u and -u, which "
                "takes softplus(-2 u)",
                wrong.softplus_of_plus,
            ),
            Mistake(
                "This is one number per dimension: sum over the last axis, the dimensions of an "
                "action are independent",
                wrong.not_summed,
            ),
            Mistake(
                "This is the mean over the dimensions of an action: log-probabilities of "
                "independent dimensions add up",
                wrong.averaged,
            ),
            Mistake(
                "The Gaussian is not normalized: - log(std) is missing",
                wrong.std_not_in_normalizer,
            ),
            Mistake(
                "The Gaussian is not normalized: - log(2 pi) / 2 is missing in each dimension",
                wrong.no_two_pi,
            ),
            Mistake(
                "The std is used as a variance: divide the distance by std, then square",
                wrong.std_as_variance,
            ),
        ),
        facts=(inputs.squashed_density_is_normalized,),
    ),
    Exercise(
        id="03.sac_target",
        reference=sac.critic_target,
        cases=inputs.one_steps,
        mistakes=(
            Mistake(
                "The entropy has the wrong sign: -alpha log pi is large for a surprising action",
                lambda r, d, q, log_prob, alpha: sac.critic_target(r, d, q, -log_prob, alpha),
            ),
            Mistake(
                "The entropy is missing: subtract temperature * next_log_prob from the next value",
                lambda r, d, q, log_prob, alpha: sac.critic_target(r, d, q, log_prob, 0.0),
            ),
            Mistake(
                "This takes the larger critic; the smaller one keeps the target from growing on "
                "its own errors",
                lambda r, d, q, log_prob, alpha: r + d * (q.amax(0) - alpha * log_prob),
            ),
            Mistake(
                "This takes the mean of the two critics; the target takes the smaller one",
                lambda r, d, q, log_prob, alpha: r + d * (q.mean(0) - alpha * log_prob),
            ),
            Mistake(
                "The discount is missing; it is also what stops the value at the end of an episode",
                lambda r, d, q, log_prob, alpha: r + q.amin(0) - alpha * log_prob,
            ),
            Mistake(
                "The discount must multiply the entropy too: both belong to the next state",
                lambda r, d, q, log_prob, alpha: r + d * q.amin(0) - alpha * log_prob,
            ),
            Mistake(
                "The entropy stands outside the discount, and with the wrong sign: subtract it "
                "from the smaller critic, then multiply both by the discount",
                lambda r, d, q, log_prob, alpha: r + d * q.amin(0) + alpha * log_prob,
            ),
            Mistake(
                "The minimum runs over the whole batch: take it over the two critics, dim 0",
                lambda r, d, q, log_prob, alpha: r + d * (q.min() - alpha * log_prob),
            ),
            Mistake(
                "Only the first critic is used: the target takes the smaller of the two",
                lambda r, d, q, log_prob, alpha: r + d * (q[0] - alpha * log_prob),
            ),
            Mistake(
                "Only the second critic is used: the target takes the smaller of the two",
                lambda r, d, q, log_prob, alpha: r + d * (q[1] - alpha * log_prob),
            ),
            Mistake(
                "The temperature weighs Q; it is the price of log pi",
                lambda r, d, q, log_prob, alpha: r + d * (alpha * q.amin(0) - log_prob),
            ),
        ),
    ),
    Exercise(
        id="03.sac_policy_loss",
        reference=sac_policy_loss,
        cases=inputs.policy_batches,
        mistakes=(
            Mistake(
                "The sign is flipped: this is what the policy maximizes, a loss is minimized",
                lambda q, log_prob, alpha: -sac.policy_loss(q, log_prob, alpha),
            ),
            Mistake(
                "The entropy has the wrong sign: as it stands, the policy is paid for certainty",
                lambda q, log_prob, alpha: sac.policy_loss(q, -log_prob, alpha),
            ),
            Mistake(
                "This trusts the larger critic; take the smaller one, as in the target",
                lambda q, log_prob, alpha: (alpha * log_prob - q.amax(0)).mean(),
            ),
            Mistake(
                "This takes the mean of the two critics; take the smaller one, as in the target",
                lambda q, log_prob, alpha: (alpha * log_prob - q.mean(0)).mean(),
            ),
            Mistake(
                "Only the first critic is used: take the smaller of the two, as in the target",
                lambda q, log_prob, alpha: (alpha * log_prob - q[0]).mean(),
            ),
            Mistake(
                "The entropy is missing: subtract temperature * log_prob from the smaller critic",
                lambda q, log_prob, alpha: (0.0 * log_prob - q.amin(0)).mean(),
            ),
            Mistake(
                "The temperature is missing: it weighs log_prob against Q",
                lambda q, log_prob, alpha: sac.policy_loss(q, log_prob, 1.0),
            ),
            Mistake(
                "This is one number per state: return the mean over the batch",
                lambda q, log_prob, alpha: alpha * log_prob - q.amin(0),
            ),
            Mistake(
                "This is the sum over the batch: return the mean",
                lambda q, log_prob, alpha: (alpha * log_prob - q.amin(0)).sum(),
            ),
            Mistake(
                "The minimum runs over the whole batch: take it over the two critics, dim 0",
                lambda q, log_prob, alpha: (alpha * log_prob - q.min()).mean(),
            ),
        ),
        facts=(inputs.loss_pulls_the_right_way,),
    ),
    Exercise(
        id="03.mpo_weights",
        reference=dual.sample_weights,
        cases=inputs.sampled_values,
        mistakes=(
            Mistake(
                "The weights are normalized over states: the samples of a state are on axis 0",
                lambda q, eta: (q / eta.detach()).softmax(-1),
            ),
            Mistake(
                "Q is multiplied by the temperature, and it must be divided: a large one makes "
                "the weights even",
                lambda q, eta: (q * eta.detach()).softmax(0),
            ),
            Mistake(
                "The temperature is missing: divide Q by it before the softmax",
                lambda q, eta: q.softmax(0),
            ),
            Mistake(
                "The weights prefer bad actions: the sign of Q is flipped",
                lambda q, eta: (-q / eta.detach()).softmax(0),
            ),
            Mistake(
                "Here exp(Q / eta) overflows for a small temperature: use softmax, which takes out "
                "the largest first",
                lambda q, eta: (q / eta.detach()).exp() / (q / eta.detach()).exp().sum(0),
            ),
            Mistake(
                "These are logarithms: return the weights themselves, with softmax",
                lambda q, eta: (q / eta.detach()).log_softmax(0),
            ),
            Mistake(
                "The weights carry a gradient to the temperature; they are fixed numbers to the "
                "M-step: detach the result",
                lambda q, eta: (q / eta).softmax(0),
            ),
            Mistake(
                "The weights are not normalized: divide by their sum over the samples",
                lambda q, eta: ((q - q.amax(0)) / eta.detach()).exp(),
            ),
        ),
        facts=(inputs.weights_sum_to_one,),
    ),
    Exercise(
        id="03.temperature_dual",
        reference=dual.temperature_loss,
        cases=inputs.sampled_values_and_bound,
        mistakes=(
            Mistake(
                "This takes the sum over samples; the expectation under the old policy is their "
                "mean: subtract log N",
                lambda q, eta, epsilon: eta * (epsilon + (q / eta).logsumexp(0)),
            ),
            Mistake(
                "The sign of log N is flipped: the mean is the sum divided by N, so subtract it",
                lambda q, eta, epsilon: eta * (epsilon + (q / eta).logsumexp(0) + math.log(len(q))),
            ),
            Mistake(
                "This divides by the number of states B; the mean is over the N samples, len(q)",
                lambda q, eta, epsilon: (
                    eta * (epsilon + (q / eta).logsumexp(0) - math.log(q.shape[1]))
                ),
            ),
            Mistake(
                "The factor eta in front of the logarithm is missing",
                lambda q, eta, epsilon: eta * epsilon + (q / eta).logsumexp(0) - math.log(len(q)),
            ),
            Mistake(
                "The term eta * epsilon is missing: without it the dual is least at eta = infinity",
                lambda q, eta, epsilon: dual.temperature_loss(q, eta, 0.0),
            ),
            Mistake(
                "The bound epsilon stands without its factor eta, so that it has no slope",
                lambda q, eta, epsilon: dual.temperature_loss(q, eta, 0.0) + epsilon,
            ),
            Mistake(
                "The sign of epsilon is flipped",
                lambda q, eta, epsilon: dual.temperature_loss(q, eta, -epsilon),
            ),
            Mistake(
                "Here exp(Q / eta) overflows: use logsumexp, or subtract the largest Q before the "
                "exp",
                lambda q, eta, epsilon: eta * epsilon + eta * (q / eta).exp().mean(0).log(),
            ),
            Mistake(
                "The logsumexp runs over states: the samples of a state are on axis 0",
                lambda q, eta, epsilon: (
                    eta * (epsilon + (q / eta).logsumexp(-1) - math.log(q.shape[-1]))
                ),
            ),
            Mistake(
                "The dual carries no gradient: the temperature learns from it, do not detach it",
                lambda q, eta, epsilon: dual.temperature_loss(q, eta.detach(), epsilon),
            ),
            Mistake(
                "This is already the mean over states: return one number per state, [B]",
                lambda q, eta, epsilon: dual.temperature_loss(q, eta, epsilon).mean(),
            ),
        ),
        facts=(inputs.dual_is_least_where_the_bound_binds,),
    ),
    Exercise(
        id="03.retrace",
        reference=retrace,
        cases=inputs.trajectories,
        mistakes=wrong.OF_RETRACE,
        facts=(inputs.on_policy_retrace_is_the_return,),
    ),
    Exercise(
        id="03.svg0_policy_loss",
        reference=svg0.policy_loss,
        cases=inputs.svg_terms,
        mistakes=(
            Mistake(
                "The sign is flipped: this is what the policy maximizes, a loss is minimized",
                lambda *terms: -svg0.policy_loss(*terms),
            ),
            Mistake(
                "The KL is rewarded; leaving the prior is a cost",
                lambda q, kl, entropy, alpha, bonus: svg0.policy_loss(
                    q, -kl, entropy, alpha, bonus
                ),
            ),
            Mistake(
                "The entropy is a cost here; it is a bonus, it keeps the policy exploring",
                lambda q, kl, entropy, alpha, bonus: svg0.policy_loss(
                    q, kl, -entropy, alpha, bonus
                ),
            ),
            Mistake(
                "The two weights are swapped: alpha belongs to the KL, alpha_entropy to the "
                "entropy",
                lambda q, kl, entropy, alpha, bonus: svg0.policy_loss(q, kl, entropy, bonus, alpha),
            ),
            Mistake(
                "The KL is missing: subtract alpha * kl, or the prior has no say",
                lambda q, kl, entropy, alpha, bonus: svg0.policy_loss(
                    q, 0.0 * kl, entropy, alpha, bonus
                ),
            ),
            Mistake(
                "The entropy is missing: add alpha_entropy * entropy to the objective",
                lambda q, kl, entropy, alpha, bonus: svg0.policy_loss(
                    q, kl, 0.0 * entropy, alpha, bonus
                ),
            ),
            Mistake(
                "This is already the mean: return one number per step, the agent leaves out the "
                "padding and takes the mean itself",
                lambda *terms: svg0.policy_loss(*terms).mean(),
            ),
        ),
    ),
)
