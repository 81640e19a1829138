export class DockerSetDriver { stop() {} }
