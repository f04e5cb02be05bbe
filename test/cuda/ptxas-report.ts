/** What ptxas says of a kernel compiled for one architecture. */
export interface CompiledKernel {
  /** Mangled. */
  name: string;
  architecture: string;
  registers: number;
  /** Bytes of shared memory that the kernel declares; what a launch adds is not known here. */
  sharedBytes: number;
  stackBytes: number;
  spillBytes: number;
}

/** Reads what `ptxas -v` prints. @throws Error for a kernel whose figures are missing */
export function parsePtxasReport(text: string): CompiledKernel[] {
  const kernels: CompiledKernel[] = [];
  const sections = text.split(/^ptxas info\s*: Compiling entry function /m).slice(1);
  for (const section of sections) {
    const [, name, architecture] = /^'(\S+)' for '(\w+)'/.exec(section) ?? [];
    const stack =
      /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(section) ?? [];
    const registers = /Used (\d+) registers/.exec(section)?.[1];
    if (!name || !architecture || stack.length === 0 || registers === undefined) {
      throw new Error(`ptxas report: expected a kernel's figures, received:\n${section.slice(0, 400)}`);
    }
    kernels.push({
      name,
      architecture,
      registers: Number(registers),
      sharedBytes: Number(/(\d+) bytes smem/.exec(section)?.[1] ?? 0),
      stackBytes: Number(stack[1]),
      spillBytes: Number(stack[2]) + Number(stack[3]),
    });
  }
  return kernels;
}

// Of sm_80 and sm_90 alike (CUDA C++ programming guide, table of technical specifications).
const registersPerMultiprocessor = 65_536;
const warpsPerMultiprocessor = 64;
const registersPerAllocation = 256;

/** Warps that a multiprocessor has registers for, of 64. */
export function warpsByRegisters(registers: number): number {
  const perWarp = Math.ceil((registers * 32) / registersPerAllocation) * registersPerAllocation;
  return Math.min(warpsPerMultiprocessor, Math.floor(registersPerMultiprocessor / perWarp));
}
