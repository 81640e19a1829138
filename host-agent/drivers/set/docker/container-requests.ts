import type { ContainerRequest, HostConfig } from '@nubo/wire-docker'
import type { SetContainerSpec, SetSpec } from '../set-driver.ts'
import { CPU_PERIOD_US, cpuShares, quotaUs } from './cgroups.ts'
import { labelsOf } from './labels.ts'
import { PAUSE_COMMAND } from './pause-image.ts'

/**
 * Docker's default capabilities without MKNOD (nothing may make devices) and AUDIT_WRITE (the audit log is the
 * host's). NET_RAW stays: ping and tcpdump work as everywhere, and what raw sockets could forge is dropped at the
 * switch port, which has to hold against virtual machines anyway.
 */
const TENANT_CAPABILITIES: readonly string[] = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'NET_BIND_SERVICE',
  'NET_RAW',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
]

/** The pause process never starts another one, but what starts it is a Go program with a thread per need. */
const PAUSE_PIDS_MAX = 64

/**
 * Without name servers Docker copies the host's into the set. Nobody listens there, so that a lookup fails at once
 * instead of leaving the network.
 */
const NO_NAME_SERVER = '127.0.0.1'

/** Common to all: nothing of the host, and the agent alone decides about restarts. */
const CONFINED: HostConfig = {
  Privileged: false,
  CapDrop: ['ALL'],
  SecurityOpt: ['no-new-privileges'],
  RestartPolicy: { Name: 'no' },
}

export interface HostFacts {
  readonly cgroupParent: string
  readonly pauseImageId: string
  /** Whether the kernel knows IPv6, and so its settings. */
  readonly hasIpv6: boolean
}

/** The container that holds network, IPC, host name and resolver of a set. */
export function pauseRequest(spec: SetSpec, host: HostFacts): ContainerRequest {
  const address = spec.interfaces[0]?.addressWithPrefix.split('/')[0]
  const dns = spec.dns === undefined || spec.dns.length === 0 ? [NO_NAME_SERVER] : spec.dns
  return {
    Image: host.pauseImageId,
    Cmd: PAUSE_COMMAND,
    Hostname: spec.hostname,
    Labels: labelsOf(spec, null),
    HostConfig: {
      ...CONFINED,
      NetworkMode: 'none',
      IpcMode: 'shareable',
      CgroupParent: host.cgroupParent,
      ShmSize: spec.shmBytes,
      ReadonlyRootfs: true,
      PidsLimit: PAUSE_PIDS_MAX,
      LogConfig: { Type: 'none', Config: {} },
      Dns: dns,
      ExtraHosts: address === undefined ? [] : [`${spec.hostname}:${address}`],
      // Networks carry IPv4 only: interfaces that come later stay silent, while the loopback keeps ::1.
      Sysctls: host.hasIpv6 ? { 'net.ipv6.conf.default.disable_ipv6': '1' } : {},
    },
  }
}

/** A container of the tenant, joined to the pause container. */
export function memberRequest(options: {
  readonly spec: SetSpec
  readonly container: SetContainerSpec
  readonly imageId: string
  readonly pauseId: string
  readonly cgroupParent: string
}): ContainerRequest {
  const { spec, container, imageId, pauseId, cgroupParent } = options
  return {
    Image: imageId,
    ...(container.command === undefined ? {} : { Cmd: container.command }),
    ...(container.entrypoint === undefined ? {} : { Entrypoint: container.entrypoint }),
    ...(container.workingDir === undefined ? {} : { WorkingDir: container.workingDir }),
    Env: Object.entries(container.env).map(([name, value]) => `${name}=${value}`),
    Labels: labelsOf(spec, container.name),
    // The engine would run an image's own as often as the image says, at the expense of all who share the engine.
    Healthcheck: { Test: ['NONE'] },
    HostConfig: {
      ...CONFINED,
      CapAdd: TENANT_CAPABILITIES,
      NetworkMode: `container:${pauseId}`,
      IpcMode: `container:${pauseId}`,
      CgroupParent: cgroupParent,
      PidsLimit: spec.pidsMax,
      LogConfig: {
        Type: 'json-file',
        // Two files: when one is full the older goes, so half of the room always holds the newest.
        Config: { 'max-size': String(Math.ceil(container.logBytesMax / 2)), 'max-file': '2' },
      },
      ...cpuLimits(container.cpuMillis),
      ...memoryLimits(container.memoryBytes),
    },
  }
}

/** Quota, never NanoCpus: Docker does not let a container change from one style to the other. */
function cpuLimits(cpuMillis: number | null): HostConfig {
  if (cpuMillis === null) return {}
  return { CpuPeriod: CPU_PERIOD_US, CpuQuota: quotaUs(cpuMillis), CpuShares: cpuShares(cpuMillis) }
}

/** Equal values: no swap. */
function memoryLimits(memoryBytes: number | null): HostConfig {
  return memoryBytes === null ? {} : { Memory: memoryBytes, MemorySwap: memoryBytes }
}
