import { Readable } from 'node:stream'
import { silentLog, systemClock } from '@nubo/runtime/process'
import { busyboxImage, startRegistry, startTestEngine } from '@nubo/wire-docker/testing'
import { DockerSetDriver } from './docker/docker-set-driver.ts'
import { setSpecHash } from './spec-rules.ts'
const engine = await startTestEngine()
const registry = await startRegistry()
const image = await busyboxImage()
registry.add('t/w', image)
const driver = new DockerSetDriver({
  socketPath: engine.socketPath,
  cgroupParent: engine.cgroupParent,
  clock: systemClock,
  log: silentLog,
})
const t0 = performance.now()
await driver.prepare()
console.log('prepare', (performance.now() - t0).toFixed(0))
await driver.ensureImage({ repository: 't/w', digest: image.digest }, async () => ({
  registry: registry.address,
  token: '',
}))
const T: Record<string, number[]> = {}
const rec = (n: string, v: number) => (T[n] ??= []).push(v)
const d = engine.client
let n = 0
const rounds = Number(process.argv[2] ?? 10)
for (let i = 0; i < rounds; i++) {
  for (const members of [1, 2]) {
    {
      // bare
      const a = performance.now()
      const { id } = await d.containers.create({
        Image: image.id,
        Cmd: ['sleep', '100000'],
        Hostname: 'h',
        HostConfig: { NetworkMode: 'none', IpcMode: 'shareable' },
      })
      await d.containers.start(id)
      const ids = [id]
      const p = performance.now()
      for (let m = 0; m < members; m++) {
        const r = await d.containers.create({
          Image: image.id,
          Cmd: ['sleep', '100000'],
          HostConfig: { NetworkMode: `container:${id}`, IpcMode: `container:${id}` },
        })
        await d.containers.start(r.id)
        ids.push(r.id)
      }
      rec(`bare pause+${members}`, performance.now() - a)
      if (members === 1) rec('bare pause', p - a)
      const b = performance.now()
      await Promise.all(ids.slice(1).map((x) => d.containers.remove(x, { isForced: true })))
      await d.containers.remove(id, { isForced: true })
      rec(`bare remove ${members}`, performance.now() - b)
    }
    for (const links of [1, 0]) {
      n++
      const content = {
        name: 'w',
        hostname: 'w',
        cpuMillis: 500,
        memoryBytes: 64 << 20,
        pidsMax: 100,
        shmBytes: 1 << 20,
        containers: Array.from({ length: members }, (_, k) => ({
          name: `m${k}`,
          index: k,
          image: { repository: 't/w', digest: image.digest },
          command: ['sleep', '100000'],
          env: {},
          cpuMillis: null,
          memoryBytes: null,
          stopTimeoutMs: 0,
          logBytesMax: 65536,
        })),
        interfaces: links
          ? [
              {
                name: 'eth0',
                hostInterface: `ntb${process.pid}`,
                mac: '0a:00:00:00:00:05',
                addressWithPrefix: '10.0.0.5/24',
                gateway: '10.0.0.1',
                mtu: 1450,
              },
            ]
          : [],
      }
      const spec = { setId: `s${n}`, epoch: 1, ...content, specHash: setSpecHash(content) }
      const a = performance.now()
      await driver.startSandbox(spec)
      const p = performance.now()
      for (const c of spec.containers) await driver.startContainer(spec, c.name)
      rec(`driver${links ? '' : ' (no link)'} pause+${members}`, performance.now() - a)
      if (members === 1) rec(`driver${links ? '' : ' (no link)'} sandbox`, p - a)
      const f = performance.now()
      await driver.find(spec.setId)
      rec(`find ${members}`, performance.now() - f)
      const b = performance.now()
      await driver.removeSet(spec.setId)
      rec(`driver${links ? '' : ' (no link)'} remove ${members}`, performance.now() - b)
    }
  }
}
for (const [k, v] of Object.entries(T)) {
  const s = v.toSorted((x, y) => x - y)
  console.log(
    k.padEnd(28),
    'p50',
    s[s.length >> 1]!.toFixed(1),
    'min',
    s[0]!.toFixed(1),
    'max',
    s.at(-1)!.toFixed(1),
  )
}
// 20 sets at rest: cost of list
const specs = []
for (let i = 0; i < 20; i++) {
  const content = {
    name: 'w',
    hostname: 'w',
    cpuMillis: 100,
    memoryBytes: 64 << 20,
    pidsMax: 100,
    shmBytes: 1 << 20,
    containers: [
      {
        name: 'm',
        index: 0,
        image: { repository: 't/w', digest: image.digest },
        command: ['sleep', '100000'],
        env: {},
        cpuMillis: null,
        memoryBytes: null,
        stopTimeoutMs: 0,
        logBytesMax: 65536,
      },
    ],
    interfaces: [
      {
        name: 'eth0',
        hostInterface: `ntb${process.pid}${i}`.slice(0, 15),
        mac: '0a:00:00:00:00:05',
        addressWithPrefix: '10.0.0.5/24',
        gateway: '10.0.0.1',
        mtu: 1450,
      },
    ],
  }
  specs.push({ setId: `r${i}`, epoch: 1, ...content, specHash: setSpecHash(content) })
}
const a = performance.now()
await Promise.all(
  specs.map(async (s) => {
    await driver.startSandbox(s)
    await driver.startContainer(s, 'm')
  }),
)
console.log('20 sets at once', (performance.now() - a).toFixed(0), 'ms')
await driver.list()
for (let i = 0; i < 3; i++) {
  const u = process.cpuUsage()
  const l = performance.now()
  await driver.list()
  const c = process.cpuUsage(u)
  console.log(
    'list 20',
    (performance.now() - l).toFixed(1),
    'ms, our cpu',
    ((c.user + c.system) / 1000).toFixed(1),
    'ms',
  )
}
const e = performance.now()
await Promise.all(specs.map(async (s) => await driver.removeSet(s.setId)))
console.log('remove 20', (performance.now() - e).toFixed(0))
void Readable
driver.close()
await engine.stop()
await registry.close()
