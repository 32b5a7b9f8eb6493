using System.Diagnostics;
using System.Text.RegularExpressions;

namespace LabPortal.Testing;

/// <summary>
/// The built portal as a process of its own, on a port that the system picks. Its data folder outlives it, so that a killed portal can be
/// started again on the same data.
/// </summary>
public sealed partial class PortalProcess : IAsyncDisposable
{
    public const string AdminToken = "test-admin-token-with-some-length";
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(5);

    private readonly Process _process;
    private readonly List<string> _log = [];
    private readonly TaskCompletionSource<Uri> _listening = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private PortalProcess(Process process) => _process = process;

    public required Uri Address { get; init; }

    public int Id => _process.Id;

    public string Log
    {
        get
        {
            lock (_log) return string.Join(Environment.NewLine, _log);
        }
    }

    /// <summary>The address that the first admin signs up at, as the log says it.</summary>
    public string? SetupLink => SetupLinkLine().Match(Log) is { Success: true } match ? match.Value : null;

    /// <summary>A client that calls as the configured admin, or with another token.</summary>
    public PortalClient Client(string? token = AdminToken) => new(Address, token);

    /// <summary>Starts and waits until it answers. <paramref name="program"/>: another build than the one beside the tests; <paramref name="command"/>: what dotnet is told instead.</summary>
    public static async Task<PortalProcess> StartAsync(string dataFolder, string? database = null, string? applyFile = null, string? program = null, IReadOnlyList<string>? command = null, IReadOnlyDictionary<string, string>? more = null)
    {
        var start = new ProcessStartInfo("dotnet") { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = Path.GetDirectoryName(program ?? Program)! };
        foreach (var argument in command ?? [program ?? Program]) start.ArgumentList.Add(argument);
        start.Environment["ASPNETCORE_URLS"] = "http://127.0.0.1:0";
        start.Environment["DOTNET_ENVIRONMENT"] = start.Environment["ASPNETCORE_ENVIRONMENT"] = "Production";
        start.Environment["LabPortal__DataFolder"] = dataFolder;
        start.Environment["LabPortal__Bootstrap__AdminToken"] = AdminToken;
        start.Environment["LabPortal__ImageFolders__0"] = Path.GetTempPath();
        start.Environment["LabPortal__ImageFolders__1"] = Path.Combine(Repository.Root, "artifacts/images");
        if (database is not null) start.Environment["LabPortal__Database"] = database;
        if (applyFile is not null) start.Environment["LabPortal__Apply"] = applyFile;
        foreach (var (name, value) in more ?? new Dictionary<string, string>()) start.Environment[name] = value;
        var process = Process.Start(start)!;
        var portal = new PortalProcess(process) { Address = new Uri("http://127.0.0.1/") };
        process.OutputDataReceived += (_, line) => portal.Read(line.Data);
        process.ErrorDataReceived += (_, line) => portal.Read(line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        var ended = process.WaitForExitAsync();
        if (await Task.WhenAny(portal._listening.Task, ended, Task.Delay(s_patience)) == portal._listening.Task)
            return new PortalProcess(process, portal._log) { Address = await portal._listening.Task };
        await portal.KillAsync();
        throw new InvalidOperationException($"The portal did not start:{Environment.NewLine}{portal.Log}");
    }

    private PortalProcess(Process process, List<string> log)
        : this(process) => _log = log;

    /// <summary>kill -9: nothing is finished, nothing is said.</summary>
    public async Task KillAsync()
    {
        if (!_process.HasExited) _process.Kill(entireProcessTree: true);
        await _process.WaitForExitAsync();
    }

    /// <summary>As an operator stops it; gives the exit code.</summary>
    public async Task<int> StopAsync()
    {
        if (!_process.HasExited)
        {
            using var kill = Process.Start("kill", ["-TERM", _process.Id.ToString()]);
            await kill.WaitForExitAsync();
        }

        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(3));
        await _process.WaitForExitAsync(limit.Token);
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        _process.Dispose();
    }

    /// <summary>The portal that was built with these tests.</summary>
    public static string Program { get; } = Path.Combine(Repository.Root, "src", "LabPortal.Web", "bin", Repository.Configuration, "net10.0", "LabPortal.Web.dll");

    private void Read(string? line)
    {
        if (line is null) return;
        lock (_log) _log.Add(line);
        if (ListeningLine().Match(line) is { Success: true } match) _listening.TrySetResult(new Uri(match.Groups[1].Value));
    }

    [GeneratedRegex(@"Now listening on: (http://\S+)")]
    private static partial Regex ListeningLine();

    [GeneratedRegex(@"http\S+/setup/\S+")]
    private static partial Regex SetupLinkLine();
}
