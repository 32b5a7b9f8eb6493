namespace LabPortal.Testing;

/// <summary>What the API's tests apply: a simulated pool, a two-machine blueprint and a team with a quota.</summary>
public static class SimulatedCatalogue
{
    /// <summary><paramref name="label"/>: what the pool has and the blueprint needs, where there is another pool beside it.</summary>
    public static string Yaml(int labs = 10, double createSeconds = 0.05, double bootSeconds = 0.1, string label = "") => FormattableString.Invariant($$"""
        kind: Pool
        name: pretend
        provider: simulated
        labels: [{{label}}]
        settings: { seed: 7, createSeconds: {{createSeconds}}, bootSeconds: {{bootSeconds}}, hosts: 4, hostCpu: 64, hostMemoryMiB: 131072 }
        limits: { operationsAtOnce: 16, bootsAtOnce: 16 }
        ---
        kind: Image
        name: tiny
        os: linux
        bindings: { simulated: {} }
        ---
        kind: Blueprint
        name: pair
        title: Two small Linux machines
        parameters: [{ name: motd, type: string, default: hello, maxLength: 80 }]
        machines:
          - { name: web, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1 }
          - { name: db, image: tiny, cpu: 1, memoryMiB: 128, diskGiB: 1 }
        placement: { require: [{{label}}] }
        lease: { default: 4h, max: 72h, grace: 24h }
        ---
        kind: Team
        name: qa
        zone: Europe/Berlin
        quota: { labs: {{labs}}, machines: 1000, cpu: 1000, memoryMiB: 409600, diskGiB: 2000 }
        """);
}
