/**
 * The host contract, oldest first. A released version never changes.
 *
 * WHEN CHANGING THE CONTRACT
 * 1. Make v<N+1>/ with what differs: `messages.ts` takes everything else from v<N>. Add a row here and raise LATEST.
 * 2. Write v<N+1>/convert.ts, both ways for messages of both sides; what the older version has no word for is not sent.
 * 3. Point index.ts at the newest messages, and add the version to codec.ts. Code outside of this folder knows the newest
 *    shapes only; the codec of a connection speaks the version that the connection was opened with.
 * 4. The version of a connection is in its path, /host/v<N>/session or /host/v<N>/streams/TOKEN: agents dial the newest first, and a server that does
 *    not know it answers 404. So agents and servers of two versions work together, whichever is upgraded first.
 * 5. Raise OLDEST when no agent or server of an older version is left.
 */
export const hostContractVersions = [
  { number: 1, name: 'initial' },
  { number: 2, name: 'probes, positions of logs' },
  { number: 3, name: 'virtual machines' },
] as const

export type HostContract = (typeof hostContractVersions)[number]['number']

/** Spoken by the newest agents and servers. */
export const HOST_CONTRACT_LATEST = 3
/** The oldest that servers and agents still speak. */
export const HOST_CONTRACT_OLDEST = 1

/** Path of the session's WebSocket. */
export function hostSessionPath(contract: HostContract): string {
  return `/host/v${contract}/session`
}

/** Undefined if the path is none of a session that this version of the program serves. */
export function contractOfSessionPath(path: string | undefined): HostContract | undefined {
  return hostContractVersions.find(
    ({ number }) => number >= HOST_CONTRACT_OLDEST && hostSessionPath(number) === path,
  )?.number
}

/** Path of a stream's WebSocket. */
export function hostStreamPath(contract: HostContract, token: string): string {
  return `/host/v${contract}/streams/${encodeURIComponent(token)}`
}

/** The version and the token, as they stand in the path; undefined if it is none of a stream that is served here. */
export function contractOfStreamPath(
  path: string | undefined,
): { contract: HostContract; token: string } | undefined {
  for (const { number } of hostContractVersions) {
    const prefix = hostStreamPath(number, '')
    if (number >= HOST_CONTRACT_OLDEST && path?.startsWith(prefix) === true)
      return { contract: number, token: path.slice(prefix.length) }
  }
  return undefined
}
