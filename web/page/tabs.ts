/** What tabs of the page know of each other: in which conversations an answer is under way. Locks end with the tab that holds them. */

const lockOf = (conversation: string): string => `quire-answer ${conversation}`;

/** Lets other tabs know that this one answers; what comes back ends that. */
export function beginAnswer(conversation: string): () => void {
  let end = () => {};
  const ended = new Promise<void>((resolve) => (end = resolve));
  navigator.locks?.request(lockOf(conversation), { mode: "shared" }, () => ended).catch(() => {});
  return end;
}

export async function isAnswered(conversation: string): Promise<boolean> {
  const locks = await navigator.locks?.query().catch(() => undefined);
  return locks?.held?.some(({ name }) => name === lockOf(conversation)) ?? false;
}
