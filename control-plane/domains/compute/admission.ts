import { PlatformError } from '@nubo/base'
import type { SetCreate } from '@nubo/contracts'
import type { ImageDisk, SetContainer } from '../../world/index.ts'

/** What does not depend on the world: names that repeat, limits that contradict each other. INVALID_INPUT names the field. */
export function checkSet(asked: SetCreate): void {
  const names = new Set<string>()
  for (const [at, container] of asked.containers.entries()) {
    const field = `containers.${at}`
    if (names.has(container.name))
      throw invalid(`${field}.name`, `two containers are called ${container.name}`)
    names.add(container.name)
    if (container.cpuMillis !== undefined && container.cpuMillis > asked.cpuMillis) {
      throw invalid(
        `${field}.cpuMillis`,
        `a container cannot have more CPU than its set (${asked.cpuMillis / 1_000})`,
        `${asked.cpuMillis}`,
      )
    }
    if (container.memoryBytes !== undefined && container.memoryBytes > asked.memoryBytes) {
      throw invalid(
        `${field}.memoryBytes`,
        `a container cannot have more memory than its set (${asked.memoryBytes} bytes)`,
        `${asked.memoryBytes}`,
      )
    }
  }
  if (asked.port !== undefined && (asked.subnet !== undefined || asked.address !== undefined)) {
    throw invalid('port', 'a port has its own subnet and address: give either the port or these')
  }
}

function invalid(field: string, problem: string, limit?: string): PlatformError {
  return new PlatformError(
    'INVALID_INPUT',
    { field, ...(limit === undefined ? {} : { limit }) },
    { message: `${field}: ${problem}` },
  )
}

/** The recorded form of a container: images resolved, absent options made explicit, in start order. */
export function recordedContainers(
  asked: SetCreate,
  resolve: (image: string) => {
    id: SetContainer['imageId']
    name: string
    repository: string
    digest: string
    disk: ImageDisk | null
  },
): SetContainer[] {
  return asked.containers
    .map((container, at): SetContainer => {
      const image = resolve(container.image)
      if (image.disk !== null) throw startsVms(`containers.${at}.image`, image.name)
      return {
        name: container.name,
        index: container.index,
        image: { repository: image.repository, digest: image.digest },
        imageId: image.id,
        imageName: image.name,
        command: container.command ?? null,
        env: container.env,
        cpuMillis: container.cpuMillis ?? null,
        memoryBytes: container.memoryBytes ?? null,
        healthCheck: container.healthCheck ?? null,
        restart: container.restart,
        stopTimeoutMs: container.stopTimeoutMs,
      }
    })
    .toSorted((a, b) => a.index - b.index || (a.name < b.name ? -1 : 1))
}

function startsVms(field: string, name: string): PlatformError {
  return new PlatformError(
    'INVALID_INPUT',
    { field, next: 'see the kinds of images: nubo image ls' },
    { message: `${field}: ${name} is for VMs, and containers start from an image of containers` },
  )
}
