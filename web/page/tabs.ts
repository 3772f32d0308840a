/** What tabs of the page know of each other: in which conversations an answer is under way. Locks end with the tab that holds them. */

const lockOf = (conversation: string): string => `quire-answer ${conversation}`;

/**
 * Has this tab alone answer in a conversation; what comes back ends that. Nothing comes back where another tab is answering, which a page
 * without locks, as by plain HTTP, has but `heard`.
 */
export function beginAnswer(conversation: string, heard: boolean): Promise<(() => void) | undefined> {
  return new Promise((resolve) => {
    const alone = () => resolve(() => {});
    if (!navigator.locks) return heard ? resolve(undefined) : alone();
    const held = (lock: Lock | null) => (lock ? new Promise<void>((end) => resolve(end)) : resolve(undefined));
    navigator.locks.request(lockOf(conversation), { ifAvailable: true }, held).catch(alone);
  });
}

/** Nothing where there are no locks. */
export async function isAnswered(conversation: string): Promise<boolean | undefined> {
  const locks = await navigator.locks?.query().catch(() => undefined);
  return locks?.held?.some(({ name }) => name === lockOf(conversation));
}
