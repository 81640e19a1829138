/**
 * How long a set takes from the call of the API until it runs and answers a ping from another host, compared with
 * the bare calls of Docker Engine for the same containers on the same engine, one after the other as one would
 * write them. The engine's own part is all that is compared: the peer has no network.
 */
import { isApiError } from '@nubo/client'
import type { DockerClient } from '@nubo/wire-docker'
import { FirstAnswer, wallMs } from './first-answer.ts'
import { interleave, median, medianRatio, type Verdict } from './measure.ts'
import { IMAGE, ipBatch, NETWORK, ofProject, type Stage } from './stage.ts'

const ROUNDS = 11
const ANSWER_TIMEOUT_MS = 20_000
/** A set takes hundreds; finer pings would only slow down what is measured. */
const PING_PERIOD_MS = 5
const MEMORY_BYTES = 32 * 2 ** 20
const CPU_PERIOD_US = 100_000
/** The API's default. With a tenth of a core both would measure how long the kernel holds back what starts in there. */
const CPU_MILLIS = 500

export async function setCreate(stage: Stage): Promise<Verdict[]> {
  const [host, other] = stage.hosts
  const port = await stage.tenant.portCreate({ body: { name: 'watcher', network: NETWORK } })
  const watcher = await stage.addGuest(other, port)
  await stage.operator.portBind({
    params: { id: 'watcher' },
    query: ofProject,
    body: { host: other.name, interfaceName: watcher.hostInterface },
  })
  let count = 0
  const parts: { answerMs: number; endMs: number }[] = []

  const nubo = async (): Promise<number> => {
    count += 1
    const name = `made-${count}`
    // Made before, because the watcher has to know its MAC: neighbours that are asked for are asked once a second.
    const { mac, address } = await stage.tenant.portCreate({ body: { name, network: NETWORK } })
    await ipBatch(watcher.namespace, [`neighbour replace ${address} lladdr ${mac} dev eth0`])
    const probe = await FirstAnswer.of({
      netns: `/run/netns/${watcher.namespace}`,
      address,
      periodMs: PING_PERIOD_MS,
    })
    const startMs = wallMs()
    const answered = probe.atMs(ANSWER_TIMEOUT_MS)
    const ended = stage
      .createSet({ name, host, port: name, cpuMillis: CPU_MILLIS, memoryBytes: MEMORY_BYTES })
      .then(async (operation) => {
        await stage.done(operation)
        return wallMs()
      })
    const [answeredAtMs, endedAtMs] = await Promise.all([answered, ended])
    parts.push({ answerMs: answeredAtMs - startMs, endMs: endedAtMs - startMs })
    await stage.removeSet(name)
    await stage.tenant.portRemove({ params: { id: name } })
    return Math.max(answeredAtMs, endedAtMs) - startMs
  }
  const images = await imagesOf(host.docker, async () => {
    await stage.runSet({ name: 'sample', host })
    return () => stage.removeSet('sample')
  })
  const bare = (): Promise<number> => bareSet(host.docker, images)

  const found = await interleave({ nubo, bare }, { rounds: ROUNDS })
  await stage.operator.portUnbind({ params: { id: 'watcher' }, query: ofProject })
  await stage.tenant.portRemove({ params: { id: 'watcher' } }).catch((error: unknown) => {
    if (!isApiError(error, 'IN_USE')) throw error
  })
  const measured = parts.slice(-ROUNDS)
  return [
    {
      what: 'set create: API call → running and reachable',
      unit: 'ms',
      value: median(found.nubo),
      goal: { atMost: 300 },
      rounds: found.nubo,
    },
    {
      what: 'set create / bare Docker Engine calls',
      unit: '×',
      value: medianRatio(found.nubo, found.bare),
      goal: { atMost: 1.3 },
      rounds: found.nubo.map((value, round) => value / (found.bare[round] ?? Number.NaN)),
    },
    {
      what: '  peer: bare Docker Engine, pause + container',
      unit: 'ms',
      value: median(found.bare),
      rounds: found.bare,
    },
    {
      what: '  part: first answer',
      unit: 'ms',
      value: median(measured.map(({ answerMs }) => answerMs)),
    },
    {
      what: '  part: operation ended',
      unit: 'ms',
      value: median(measured.map(({ endMs }) => endMs)),
    },
  ]
}

interface Images {
  readonly pause: string
  readonly pauseCommand: readonly string[]
  readonly member: string
}

/** The very images that a set is made of, as the engine names them. */
async function imagesOf(
  docker: DockerClient,
  makeSample: () => Promise<() => Promise<void>>,
): Promise<Images> {
  const remove = await makeSample()
  try {
    let pause = ''
    let member = ''
    for (const { id, labels } of await docker.containers.list()) {
      if (labels['nubo.set'] === undefined) continue
      const { networkMode, imageId } = await docker.containers.inspect(id)
      if (networkMode === 'none') pause = imageId
      else member = imageId
    }
    if (pause === '' || member === '') throw new Error(`no set of image ${IMAGE} runs`)
    return { pause, pauseCommand: ['/busybox', 'sleep', 'infinity'], member }
  } finally {
    await remove()
  }
}

let bareSets = 0

/** As a program would do it that is in no hurry: each call after the answer to the one before. */
async function bareSet(docker: DockerClient, images: Images): Promise<number> {
  bareSets += 1
  const name = `bare-${bareSets}`
  const limits = {
    CpuPeriod: CPU_PERIOD_US,
    CpuQuota: (CPU_PERIOD_US * CPU_MILLIS) / 1_000,
    Memory: MEMORY_BYTES,
    MemorySwap: MEMORY_BYTES,
  }
  const startMs = performance.now()
  const pause = await docker.containers.create(
    {
      Image: images.pause,
      Cmd: images.pauseCommand,
      HostConfig: {
        NetworkMode: 'none',
        IpcMode: 'shareable',
        ReadonlyRootfs: true,
        LogConfig: { Type: 'none', Config: {} },
      },
    },
    `${name}-pause`,
  )
  await docker.containers.start(pause.id)
  const member = await docker.containers.create(
    {
      Image: images.member,
      Cmd: ['sleep', '1000000'],
      HostConfig: {
        NetworkMode: `container:${pause.id}`,
        IpcMode: `container:${pause.id}`,
        ...limits,
      },
    },
    `${name}-main`,
  )
  await docker.containers.start(member.id)
  const tookMs = performance.now() - startMs
  for (const { id } of [member, pause]) await docker.containers.remove(id, { isForced: true })
  return tookMs
}
