/** 10,000 flows in one atomic bundle, by our OpenFlow client and by ovs-ofctl, on the same bridge in turn. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '@nubo/runtime'
import { formatFlow, type Flow } from '@nubo/wire-openflow'
import { HandSwitch } from './hand-switch.ts'
import { interleave, median, medianRatio, type Verdict } from './measure.ts'
import type { Stage } from './stage.ts'

const ROUNDS = 11
const FLOWS = 10_000

export async function flowBundle(stage: Stage): Promise<Verdict[]> {
  const [host, other] = stage.hosts
  const hand = await HandSwitch.on(host, other)
  const folder = mkdtempSync(join(tmpdir(), 'nbb-'))
  try {
    const flows = Array.from({ length: FLOWS }, (_, number) => locateFlow(number))
    const changes = flows.map((flow) => ({ type: 'add', flow }) as const)
    const file = join(folder, 'flows')
    writeFileSync(file, flows.map((flow) => `${formatFlow(flow)}\n`).join(''))
    const bridge = `unix:${HandSwitch.socketOn(host)}`
    const timed = async (work: () => Promise<unknown>): Promise<number> => {
      await hand.clear()
      const startMs = performance.now()
      await work()
      const tookMs = performance.now() - startMs
      const { flows: installed } = await hand.openflow.dumpFlows()
      if (installed.length !== FLOWS) throw new Error(`the switch has ${installed.length} flows`)
      return tookMs
    }
    const found = await interleave(
      {
        nubo: () => timed(() => hand.openflow.applyBundle(changes)),
        ofctl: () =>
          timed(() =>
            run({ argv: ['ovs-ofctl', '-O', 'OpenFlow14', '--bundle', 'add-flows', bridge, file] }),
          ),
      },
      { rounds: ROUNDS },
    )
    return [
      {
        what: '10,000 flows in one bundle / ovs-ofctl --bundle add-flows',
        unit: '×',
        value: medianRatio(found.nubo, found.ofctl),
        goal: { atMost: 1.5 },
        rounds: found.nubo.map((value, round) => value / (found.ofctl[round] ?? Number.NaN)),
      },
      { what: '  10,000 flows', unit: 'ms', value: median(found.nubo), rounds: found.nubo },
      { what: '  peer: ovs-ofctl', unit: 'ms', value: median(found.ofctl), rounds: found.ofctl },
    ]
  } finally {
    rmSync(folder, { recursive: true, force: true })
    await hand.close()
  }
}

/** As the pipeline has one per port of another host. */
function locateFlow(number: number): Flow {
  const hex = number.toString(16).padStart(4, '0')
  return {
    table: 10,
    priority: 100,
    cookie: 0x1000n + BigInt(number),
    match: { reg0: 5_000, ethDst: `0a:00:00:00:${hex.slice(0, 2)}:${hex.slice(2)}` },
    actions: [
      { type: 'setField', field: 'tunId', value: 5_000 },
      { type: 'setField', field: 'tunDst', value: `192.168.${100 + (number % 100)}.1` },
      { type: 'output', port: 1_000 },
    ],
  }
}
