/**
 * The host contract, oldest first. A released version never changes.
 * WHEN CHANGING THE CONTRACT: copy the newest folder to v<N+1>, add a row here, point host/index.ts at it, and write the
 * converters `fromPrevious`/`toPrevious` in the new folder; tests/upgrade runs mixed versions.
 */
export const hostContractVersions = [{ number: 1, name: 'initial' }] as const

/** Spoken by the newest agents and servers. */
export const HOST_CONTRACT_LATEST = 1
/** The oldest that a server still serves. */
export const HOST_CONTRACT_OLDEST = 1
