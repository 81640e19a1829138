/**
 * The brake: when more of a zone or a rack is lost at once than one believes, it is more likely that we are cut off (or
 * wrong) than that they all died; then nothing is fenced and nothing placed again, until hosts return or an operator
 * takes the word on himself, host by host. Pure.
 */
export interface BrakeLimits {
  /** Fewer lost hosts than this never engage it. */
  readonly lostHostsMin: number
  /** It engages above this share of the hosts that were in service. */
  readonly zoneShareMax: number
  readonly rackShareMax: number
}
export const BRAKE_LIMITS_DEFAULT: BrakeLimits = {
  lostHostsMin: 2,
  zoneShareMax: 0.4,
  rackShareMax: 0.6,
}

/** A host that was fenced by itself counts for so long as lost: one after another is as bad as all at once. */
export const BRAKE_WINDOW_MS = 180_000

export interface BrakeHost {
  readonly name: string
  readonly zone: string
  readonly rack: string
  /** `suspect`: not given up yet, but it missed heartbeats. Hosts in no service (maintenance, invited) are left out. */
  readonly standing: 'ready' | 'suspect' | 'lost'
}

export interface BrakeCause {
  /** 'zone zone-1' or 'rack zone-1/rack-2'. */
  readonly name: string
  readonly hosts: readonly string[]
  readonly text: string
}

/** The largest cause to hold everything; undefined if there is none. Suspects count only if asked for. */
export function brakeCause(
  hosts: readonly BrakeHost[],
  limits: BrakeLimits,
  count: { suspects: boolean },
): BrakeCause | undefined {
  const isLost = ({ standing }: BrakeHost): boolean =>
    standing === 'lost' || (count.suspects && standing === 'suspect')
  const domains = new Map<string, { shareMax: number; all: BrakeHost[] }>()
  for (const host of hosts) {
    const keys = [
      [`zone ${host.zone}`, limits.zoneShareMax],
      [`rack ${host.zone}/${host.rack}`, limits.rackShareMax],
    ] as const
    for (const [name, shareMax] of keys) {
      const domain = domains.get(name) ?? { shareMax, all: [] }
      domain.all.push(host)
      domains.set(name, domain)
    }
  }
  let worst: BrakeCause | undefined
  for (const [name, { shareMax, all }] of domains) {
    const lost = all.filter(isLost).map((host) => host.name)
    if (lost.length < limits.lostHostsMin || lost.length <= shareMax * all.length) continue
    if (lost.length <= (worst?.hosts.length ?? 0)) continue
    worst = {
      name,
      hosts: lost.toSorted(),
      text: `${lost.length} of ${all.length} hosts of ${name} were lost at once, more than ${Math.round(shareMax * 100)} %: nothing is fenced or placed again until fewer are, because it may be us who are cut off.`,
    }
  }
  return worst
}
