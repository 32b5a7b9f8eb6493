using LabPortal.Domain.Machines;

namespace LabPortal.Domain.Labs;

public static class Health
{
    /// <summary>
    /// A lab is degraded while one of its machines is missing or cannot be read, and, when it is ready, while one does not run.
    /// In other states its run answers for the machines.
    /// </summary>
    public static LabHealth Of(LabState lab, IEnumerable<MachineState> machines) => lab switch
    {
        LabState.Ready => machines.All(machine => machine == MachineState.Running),
        LabState.Stopped or LabState.Grace => machines.All(machine => machine is not (MachineState.Missing or MachineState.Unknown)),
        _ => true,
    } ? LabHealth.Ok : LabHealth.Degraded;
}
