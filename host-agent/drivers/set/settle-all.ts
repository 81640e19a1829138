/**
 * Like Promise.all, but rejects only when all have ended: nothing goes on behind the back of whoever handles the
 * error. With the first error in the order of the list.
 */
export async function settleAll<const Work extends readonly Promise<unknown>[]>(
  work: Work,
): Promise<{ -readonly [At in keyof Work]: Awaited<Work[At]> }> {
  await Promise.allSettled(work)
  return await Promise.all(work)
}
