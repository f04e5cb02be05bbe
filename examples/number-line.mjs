import { modelFolder, NumberLine, numberLine, ppo, VlmPolicy } from "sightline";

const seed = 1;
const policy = await VlmPolicy.load(modelFolder("tiny-vlm"), {
  seed,
  precision: "bf16",
  trainable: { vision: "frozen" },
});

// 16 copies of the game; each plays 16 steps per update, all at once.
const environments = Array.from({ length: 16 }, () => new NumberLine());
const config = { ...numberLine().ppo, updates: Number(process.argv[2] ?? 12) };

for await (const { update, metrics, rollout } of ppo({ policy, environments, config, seed })) {
  const success = (100 * metrics["rollout/success_rate"]).toFixed(1);
  const accuracy = (100 * metrics["rollout/action_accuracy"]).toFixed(1);
  console.log(`update ${update}: ${success} % of episodes solved, ${accuracy} % of moves right`);

  const { response, reward } = rollout.trajectories[0].transitions.at(-1);
  console.log(`  for example, with reward ${reward}: ${response.text.replaceAll("\n", " ")}`);
}

await policy.saveCheckpoint("number-line-policy");
policy.dispose();
