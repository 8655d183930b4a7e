"""The checks of notebook 02: one prior for many tasks, and DISTRAL."""

import torch

from rlcourse.course.checks import facts_02 as facts
from rlcourse.course.checks import inputs_02 as inputs
from rlcourse.course.checks import wrong_02 as wrong
from rlcourse.course.grading import Exercise, Mistake
from rlcourse.klrl import distral, distral_neural
from rlcourse.ops import mixtures

EXERCISES = (
    Exercise(
        id="02.optimal_prior",
        reference=mixtures.optimal_log_prior,
        cases=inputs.tasks_and_visits,
        mistakes=(
            Mistake(
                "This is the plain average: weigh each task by how often it visits the state",
                wrong.prior_with(lambda visits, task_weights: torch.ones_like(visits)),
            ),
            Mistake(
                "The visits are missing: the posterior is p(w) times how often task w visits",
                wrong.prior_with(lambda visits, task_weights: task_weights),
            ),
            Mistake(
                "The task weights are missing: the posterior is p(w) times the visits",
                wrong.prior_with(lambda visits, task_weights: visits),
            ),
            Mistake(
                "A state that nobody visits gives 0 / 0: put equal weights there with torch.where, "
                "before you normalize",
                wrong.nowhere_not_a_number,
            ),
            Mistake(
                "A state that nobody visits gets no probability at all: put equal weights there",
                wrong.nowhere_forbidden,
            ),
            Mistake(
                "Where nobody visits, all tasks count alike: equal weights, not task_weights",
                wrong.nowhere_task_weights,
            ),
            Mistake(
                "Where nobody visits, average the policies of all tasks with equal weights; this "
                "is uniform over actions",
                wrong.nowhere_uniform_actions,
            ),
            Mistake(
                "This averages log-probabilities: average the probabilities, and take the "
                "logarithm of the result (torch.logsumexp over tasks)",
                wrong.averaged_logs,
            ),
            Mistake(
                "This is the normalized geometric mean, the best prior for the reverse KL: average "
                "probabilities, not their logarithms",
                wrong.geometric_mean,
            ),
            Mistake(
                "The weights are not normalized: in each state divide them by their sum over tasks",
                wrong.not_normalized,
            ),
            Mistake(
                "The weights are normalized over states: in each state they must sum to 1 over "
                "tasks, dim 0",
                wrong.normalized_over_states,
            ),
            Mistake(
                "The weights are normalized over everything: in each state they must sum to 1 over "
                "tasks, dim 0",
                wrong.normalized_over_everything,
            ),
            Mistake(
                "A task that never comes to a state that others visit must weigh 0 there: put 1 "
                "only where the sum over tasks is 0, not at every 0",
                wrong.every_zero_replaced,
            ),
            Mistake(
                "The posterior itself is added to the log-policies: add its logarithm",
                wrong.posterior_added,
            ),
            Mistake(
                "These are probabilities: return their logarithms",
                lambda *inputs: mixtures.optimal_log_prior(*inputs).exp(),
            ),
        ),
        facts=(facts.no_prior_is_cheaper,),
    ),
    Exercise(
        id="02.two_kls",
        reference=mixtures.density_kls,
        cases=inputs.densities,
        mistakes=(
            Mistake(
                "The two are swapped: forward is KL(p || q), weighted by p, and comes first",
                lambda *inputs: mixtures.density_kls(*inputs)[::-1],
            ),
            Mistake(
                "The width of a cell is missing: an integral is a sum of heights times width",
                wrong.kls_of_sums,
            ),
            Mistake(
                "This is a mean over points: sum them, and multiply by the width of a cell",
                wrong.kls_of_means,
            ),
            Mistake(
                "The weights are log-densities: weigh by the densities themselves, with .exp()",
                wrong.kls_with_log_weights,
            ),
            Mistake(
                "The reverse KL has the wrong sign: there the logarithm is log q - log p",
                wrong.minus_forward,
            ),
            Mistake(
                "Both have the wrong sign: the density that is the weight stands above in the "
                "logarithm, as in p log(p / q)",
                wrong.both_negative,
            ),
            Mistake(
                "Both sums are weighted by p: the reverse one is weighted by q",
                wrong.weighted_alike,
            ),
        ),
        facts=(facts.gaussians_by_formula,),
    ),
    Exercise(
        id="02.distral_policy",
        reference=distral.distral_value_and_log_policy,
        cases=inputs.values_and_priors,
        mistakes=(
            Mistake(
                "The power alpha of the prior is missing: in log space it is alpha * log_prior",
                wrong.policy_with(lambda q, log_prior, alpha, beta: log_prior + beta * q),
            ),
            Mistake(
                "The prior is missing: add alpha * log_prior to beta * Q",
                wrong.policy_with(lambda q, log_prior, alpha, beta: beta * q),
            ),
            Mistake(
                "Q is divided by beta, and it must be multiplied: beta is nats per unit of reward",
                wrong.policy_with(lambda q, log_prior, alpha, beta: alpha * log_prior + q / beta),
            ),
            Mistake(
                "Alpha stands at the wrong place: it multiplies log_prior, not Q",
                wrong.policy_with(lambda q, log_prior, alpha, beta: log_prior + alpha * beta * q),
            ),
            Mistake(
                "The factor 1 / beta in front of the logsumexp is missing",
                wrong.policy_with(wrong.distral_logits, lambda alpha, beta: 1.0),
            ),
            Mistake(
                "The factor in front of the logsumexp is 1 / beta, not beta",
                wrong.policy_with(wrong.distral_logits, lambda alpha, beta: beta),
            ),
            Mistake(
                "The policy is not normalized: subtract the logsumexp over actions, which is "
                "beta * V",
                wrong.distral_unnormalized,
            ),
            Mistake(
                "In the policy beta is missing: log pi = alpha log pi_0 + beta (Q - V)",
                wrong.distral_policy_without_beta,
            ),
            Mistake(
                "The logsumexp is beta * V: subtract that from the logits, not V itself",
                wrong.distral_logits_minus_value,
            ),
            Mistake(
                "The policy comes as probabilities: return their logarithms, without .exp()",
                wrong.distral_policy_in_linear_space,
            ),
            Mistake(
                "The two results are swapped: return the value first, then the log-policy",
                lambda *inputs: distral.distral_value_and_log_policy(*inputs)[::-1],
            ),
            Mistake(
                "exp(beta * Q) overflows for large values: stay in log space, with logsumexp",
                wrong.distral_overflows,
            ),
        ),
        facts=(facts.value_bounds_and_limits,),
    ),
    Exercise(
        id="02.two_columns",
        reference=distral_neural.column_log_policies,
        cases=inputs.logits,
        mistakes=(
            Mistake(
                "The prior's column is never added: with two columns the logits are "
                "alpha * h + beta * f",
                wrong.columns_with(lambda f, h, alpha, beta, two: beta * f),
            ),
            Mistake(
                "The prior's column is always added: without two_columns the policy is "
                "softmax(beta * f)",
                wrong.columns_with(lambda f, h, alpha, beta, two: beta * f + alpha * h),
            ),
            Mistake(
                "Each factor is at the wrong column: alpha scales h_0, beta scales f_i",
                wrong.columns_with(lambda f, h, alpha, beta, two: alpha * f + beta * h * two),
            ),
            Mistake(
                "The factor alpha before the prior's column is missing",
                wrong.columns_with(lambda f, h, alpha, beta, two: beta * f + h * two),
            ),
            Mistake(
                "The factor beta before the task's column is missing",
                wrong.columns_with(lambda f, h, alpha, beta, two: f + alpha * h * two),
            ),
            Mistake(
                "These are logits: normalize both over actions, with log_softmax",
                wrong.columns_unnormalized,
            ),
            Mistake(
                "The normalization runs over the wrong axis: actions are the last one, dim=-1",
                wrong.columns_first_axis,
            ),
            Mistake(
                "The prior is softmax(h_0), without alpha: alpha is only in the policy",
                wrong.columns_prior_scaled,
            ),
            Mistake(
                "The prior's column gets no gradient: remove the .detach(), it learns through "
                "both results",
                wrong.columns_prior_detached,
            ),
            Mistake(
                "These are probabilities: return their logarithms, with log_softmax",
                wrong.columns_in_linear_space,
            ),
            Mistake(
                "The two results are swapped: return the policy first, then the prior",
                lambda *inputs: distral_neural.column_log_policies(*inputs)[::-1],
            ),
        ),
        facts=(facts.zero_task_logits_follow_the_prior, facts.both_columns_learn_from_the_policy),
    ),
    Exercise(
        id="02.distillation_gradient",
        reference=distral_neural.distillation_gradient,
        cases=inputs.samples,
        mistakes=(
            Mistake(
                "The sign is flipped: the prior moves toward the policies, pi_i minus pi_0",
                wrong.gradient_with(lambda policy, prior: prior - policy),
            ),
            Mistake(
                "The prior is not subtracted: the derivative of log softmax has a second term",
                wrong.gradient_with(lambda policy, prior: policy),
            ),
            Mistake(
                "This subtracts logarithms: the gradient is a difference of probabilities",
                wrong.gradient_with(lambda policy, prior: policy.log() - prior.log()),
            ),
            Mistake(
                "log_policy holds logarithms: take .exp() of it before you subtract",
                wrong.gradient_with(lambda policy, prior: policy.log() - prior),
            ),
            Mistake(
                "This subtracts the logits h_0 themselves: subtract their softmax",
                wrong.gradient_raw_logits,
            ),
            Mistake(
                "The factor is alpha / beta, here the division by beta is missing",
                wrong.gradient_scaled(lambda alpha, beta: alpha),
            ),
            Mistake(
                "The factor is alpha / beta, here alpha is missing",
                wrong.gradient_scaled(lambda alpha, beta: 1.0 / beta),
            ),
            Mistake(
                "The factor is alpha / beta, here it is beta / alpha",
                wrong.gradient_scaled(lambda alpha, beta: beta / alpha),
            ),
            Mistake(
                "The factor is alpha / beta, here it is alpha * beta",
                wrong.gradient_scaled(lambda alpha, beta: alpha * beta),
            ),
            Mistake(
                "This has one row per sample: the result has one row per state, into which its "
                "samples are added",
                wrong.gradient_rows,
            ),
            Mistake(
                "The factor alpha / beta is missing",
                wrong.gradient_scaled(lambda alpha, beta: 1.0),
            ),
            Mistake(
                "This is the mean over samples: the gradient is their sum",
                wrong.gradient_with(lambda policy, prior: policy - prior, mean=True),
            ),
            Mistake(
                "Each state keeps only its last sample: add them up. Mind that "
                "`x[states] += ...` adds once per state; use index_add_, or a loop with +=",
                wrong.gradient_last_assignment,
            ),
            Mistake(
                "This is the mean over a state's samples: add them up, so that visits count",
                wrong.gradient_mean_per_state,
            ),
            Mistake(
                "The prior is subtracted once per state: subtract it once per sample, so that a "
                "state that nobody visits has gradient 0",
                wrong.gradient_everywhere,
            ),
        ),
        facts=(facts.autograd_agrees, facts.the_mixture_stands_still),
    ),
)
