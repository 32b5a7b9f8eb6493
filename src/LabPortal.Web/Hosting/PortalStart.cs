using Hangfire;
using LabPortal.Data;
using LabPortal.Data.Migrations;
using LabPortal.Domain.People;
using LabPortal.Operations;
using LabPortal.Operations.Catalogue;
using LabPortal.Operations.Settings;
using LabPortal.Web.Texts;

namespace LabPortal.Web.Hosting;

/// <summary>What happens before the first call is taken: the folder, the lock, the schema, the installation's id, the declared catalogue.</summary>
internal sealed class PortalStart(PortalSettings settings, IServiceProvider services, TimeProvider time, ILogger<PortalStart> log) : IDisposable
{
    private PortalIdentity? _identity;
    private OneProcess? _oneProcess;

    public PortalIdentity Identity => _identity ?? throw new InvalidOperationException("The portal is not prepared yet.");

    /// <summary>What is wrong with <c>LabPortal:Apply</c>, a line each; empty where it was applied, or is not configured.</summary>
    public IReadOnlyList<string> ApplyMistakes { get; private set; } = [];

    public async Task PrepareAsync(CancellationToken cancellation)
    {
        MakeFolder(settings.DataFolder);
        if (!settings.IsShared)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(settings.SqlitePath)!);
            _oneProcess = OneProcess.Hold(settings.SqlitePath);
        }

        var database = services.GetRequiredService<Database>();
        // Hangfire makes its schema when its storage is made, without a lock of its own: under ours.
        await SchemaMigration.ApplyAsync(database, () => services.GetRequiredService<JobStorage>(), cancellation);
        await services.GetRequiredService<LiveSettings>().ReadAsync(database, cancellation);
        _identity = new PortalIdentity(await Installation.EnsureAsync(database, time, cancellation), settings.DataFolder);
        log.LogInformation("Installation {Installation}, data in {DataFolder}", _identity.Installation, settings.DataFolder);
        if (settings.Apply is { } file) await ApplyAsync(file, cancellation);
    }

    /// <summary>A mistake in the file keeps nobody from their labs: it is logged whole and shown by <c>/health/ready</c>, and the portal starts.</summary>
    private async Task ApplyAsync(string file, CancellationToken cancellation)
    {
        if (!File.Exists(file))
        {
            ApplyMistakes = [$"LabPortal:Apply: there is no file {file}."];
        }
        else
        {
            var outcome = await services.GetRequiredService<CatalogueCalls>()
                .ApplyAsync(Actor.Portal("LabPortal:Apply"), await File.ReadAllTextAsync(file, cancellation), dryRun: false, prune: false, cancellation);
            if (outcome.Ok)
            {
                log.LogInformation("Applied {File}: {Created} created, {Changed} changed, {Unchanged} unchanged",
                    file, outcome.Value.Created.Count, outcome.Value.Changed.Count, outcome.Value.Unchanged.Count);
                return;
            }

            ApplyMistakes = outcome.Refusal!.Errors is { Count: > 0 } errors
                ? [.. errors.Select(error => $"{error.Field}: {Sentences.Of(error)}")]
                : [Sentences.Of(outcome.Refusal)];
        }

        log.LogError("Nothing of {File} was applied:{NewLine}{Mistakes}", file, Environment.NewLine, string.Join(Environment.NewLine, ApplyMistakes));
    }

    private static void MakeFolder(string path)
    {
        if (OperatingSystem.IsWindows()) Directory.CreateDirectory(path);
        else Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    public void Dispose() => _oneProcess?.Dispose();
}
