import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { run, silentLog, systemClock } from '@nubo/runtime/process'
import {
  busyboxImage,
  startRegistry,
  startTestEngine,
  type TestEngine,
  type TestRegistry,
} from '@nubo/wire-docker/testing'
import { DockerSetDriver } from '../docker/docker-set-driver.ts'
import type {
  ImageReference,
  RegistryToken,
  SetContainerSpec,
  SetInterfaceSpec,
  SetSpec,
} from '../set-driver.ts'
import { setSpecHash } from '../spec-rules.ts'
import { plainContainer } from './plain-container.ts'

const TOKEN = 'pull-token'
/** Host ends of links have 15 characters at most and must not meet those of another test run. */
export const LINK_PREFIX = `nt${process.pid}x`

/** Numbers from 0 to 199. */
export function interfaceOf(number: number): SetInterfaceSpec {
  return {
    name: 'eth0',
    hostInterface: `${LINK_PREFIX}${number}`,
    mac: `0a:00:00:00:01:${number.toString(16).padStart(2, '0')}`,
    addressWithPrefix: `10.99.0.${number + 1}/24`,
    gateway: '10.99.0.254',
    mtu: 1_450,
  }
}

/** A real engine, a registry with one image, and drivers for them. */
export class DockerStage {
  readonly engine: TestEngine
  readonly registry: TestRegistry
  readonly image: ImageReference
  readonly driver: DockerSetDriver
  readonly #drivers: DockerSetDriver[] = []
  #count = 0

  private constructor(engine: TestEngine, registry: TestRegistry, image: ImageReference) {
    this.engine = engine
    this.registry = registry
    this.image = image
    this.driver = this.again()
  }

  /** Nothing is prepared or fetched yet. */
  static async open(): Promise<DockerStage> {
    const [engine, registry, image] = await Promise.all([
      startTestEngine(),
      startRegistry({ token: TOKEN }),
      busyboxImage(),
    ])
    registry.add('team/web', image)
    return new DockerStage(engine, registry, { repository: 'team/web', digest: image.digest })
  }

  /** Leaves nothing. */
  async close(): Promise<void> {
    for (const driver of this.#drivers) driver.close()
    await this.engine.stop()
    await this.registry.close()
  }

  /** A driver of a later life of the agent. */
  again(): DockerSetDriver {
    const driver = new DockerSetDriver({
      socketPath: this.engine.socketPath,
      cgroupParent: this.engine.cgroupParent,
      clock: systemClock,
      log: silentLog,
    })
    this.#drivers.push(driver)
    return driver
  }

  readonly auth = async (): Promise<RegistryToken> => {
    return { registry: this.registry.address, token: TOKEN }
  }

  container(change: Partial<SetContainerSpec> = {}): SetContainerSpec {
    return plainContainer({ image: this.image, command: ['sleep', '100000'], ...change })
  }

  /** A set of its own for each call. */
  spec(change: Partial<SetSpec> = {}): SetSpec {
    this.#count += 1
    const content = {
      name: 'web',
      hostname: 'web-1',
      cpuMillis: 500,
      memoryBytes: 32 * 2 ** 20,
      pidsMax: 60,
      shmBytes: 2 * 1024 * 1024,
      containers: [this.container()],
      interfaces: [interfaceOf(this.#count)],
      dns: ['10.99.0.253'],
      ...change,
    }
    return { setId: `set-${this.#count}`, epoch: 1, ...content, specHash: setSpecHash(content) }
  }

  /** A set whose containers all run. */
  async started(change: Partial<SetSpec> = {}): Promise<SetSpec & { readonly pid: number }> {
    const set = this.spec(change)
    const { pid } = await this.driver.startSandbox(set)
    for (const { name } of set.containers) await this.driver.startContainer(set, name)
    return { ...set, pid }
  }

  /** What a shell in a container of the set prints. */
  async shell(set: SetSpec, script: string, name = 'main'): Promise<string> {
    const stream = await this.driver.exec(set.setId, name, { command: ['sh', '-c', script] })
    let text = ''
    for await (const { bytes } of stream.output) text += Buffer.from(bytes).toString()
    return text
  }

  /** What a program of the host prints in the network namespace of a process. */
  async inside(pid: number, ...argv: [string, ...string[]]): Promise<string> {
    return (await run({ argv, netns: `/proc/${pid}/ns/net` })).stdout
  }

  /** A file of the set's own cgroup, by its names on v1 (with the controller) and v2. */
  cgroupFile(setId: string, legacy: string, unified: string): string {
    const below = path.join(this.engine.cgroupParent, `set-${setId}`)
    const v2 = path.join('/sys/fs/cgroup', below, unified)
    const v1 = path.join('/sys/fs/cgroup', path.dirname(legacy), below, path.basename(legacy))
    return readFileSync(existsSync(v2) ? v2 : v1, 'utf8').trim()
  }
}
