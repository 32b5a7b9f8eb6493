using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using LabPortal.Testing;

namespace LabPortal.Cli.Tests;

/// <summary>What a command did.</summary>
internal sealed record Ran(int Exit, string Output, string Error)
{
    public JsonNode Json => JsonNode.Parse(Output)!;

    public string Id => (string)Json["id"]!;

    public override string ToString() => $"{Exit}\n{Output}\n{Error}";

    /// <summary>It ended like this, or all that it said is told.</summary>
    public Ran Must(Exit exit) => Exit == (int)exit ? this : throw new InvalidOperationException($"Expected {exit}:\n{this}");
}

/// <summary>
/// <c>lab</c> as a person or a pipeline runs it: a process of its own, without a terminal, with a configuration folder of its own, signed in
/// by the environment.
/// </summary>
internal sealed class LabProcess : IDisposable
{
    private static readonly string s_program = Path.Combine(Repository.Root, "src", "LabPortal.Cli", "bin", Repository.Configuration, "net10.0", "lab.dll");
    private readonly TestFolder _folder = new();

    public LabProcess(Uri? portal = null, string? token = PortalProcess.AdminToken)
    {
        Environment = new()
        {
            ["LAB_URL"] = portal?.AbsoluteUri,
            ["LAB_TOKEN"] = portal is null ? null : token,
            ["XDG_CONFIG_HOME"] = _folder.Path,
            ["NO_PROXY"] = "*",
            ["LAB_COMPLETION_SECONDS"] = "60",
            ["TERM"] = "xterm",
            ["LC_ALL"] = "C.UTF-8",
            ["TZ"] = "Europe/Berlin",
            ["PATH"] = $"{_folder.Path}:{System.Environment.GetEnvironmentVariable("PATH")}",
        };
        // As it is installed: by this name, in the path.
        File.WriteAllText(_folder["lab"], $"#!/bin/sh\nexec dotnet '{s_program}' \"$@\"\n");
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(_folder["lab"], UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    public Dictionary<string, string?> Environment { get; }

    public string AccountFile => Path.Combine(_folder.Path, "labportal", "account.json");

    public string this[string file] => _folder[file];

    /// <summary>An instant that a lab may be scheduled for.</summary>
    public static string Later { get; } = DateTimeOffset.UtcNow.AddDays(2).ToString("yyyy-MM-dd'T'HH:00:00'Z'", System.Globalization.CultureInfo.InvariantCulture);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public Task<Ran> RunAsync(params string[] arguments) => TypeAsync("", arguments);

    /// <summary>With this on its standard input.</summary>
    public async Task<Ran> TypeAsync(string typed, params string[] arguments)
    {
        using var running = Start("dotnet", [s_program, .. arguments]);
        return await running.EndAsync(typed);
    }

    /// <summary>Beside the test.</summary>
    public Running Run(params string[] arguments)
        // Where the tests are a job in the background of a shell, interrupts are ignored, and by whatever they start.
        => Start("env", ["--default-signal=INT", "dotnet", s_program, .. arguments]);

    /// <summary>Another program, in the same surroundings.</summary>
    public Running Start(string file, params string[] arguments)
    {
        var start = new ProcessStartInfo(file, arguments)
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
            WorkingDirectory = _folder.Path,
        };
        foreach (var (name, value) in Environment) start.Environment[name] = value;
        return new Running(Process.Start(start)!);
    }

    /// <summary>On a terminal of its own, which <c>script</c> makes; what a shell would run.</summary>
    public Running OnTerminal(string command) => Start("script", "-qefc", command, "/dev/null");

    public void Dispose() => _folder.Dispose();

    /// <summary>A process and what it has printed so far.</summary>
    internal sealed class Running : IDisposable
    {
        private readonly Process _process;
        private readonly StringBuilder _output = new();
        private readonly StringBuilder _error = new();
        private readonly Task _reading;

        public Running(Process process)
        {
            _process = process;
            _reading = Task.WhenAll(ReadAsync(process.StandardOutput, _output), ReadAsync(process.StandardError, _error));
        }

        public string Output => Text(_output);

        public string Error => Text(_error);

        public void Signal(string signal)
        {
            using var kill = Process.Start("kill", [$"-{signal}", $"{_process.Id}"]);
            kill.WaitForExit();
        }

        public async Task TypeAsync(string text)
        {
            await _process.StandardInput.WriteAsync(text.AsMemory(), Cancellation);
            await _process.StandardInput.FlushAsync(Cancellation);
        }

        /// <summary>Until it has printed this.</summary>
        public async Task SaysAsync(string text)
        {
            for (var since = Stopwatch.GetTimestamp(); !Output.Contains(text, StringComparison.Ordinal) && !Error.Contains(text, StringComparison.Ordinal); await Task.Delay(20, Cancellation))
            {
                if (Stopwatch.GetElapsedTime(since) > TimeSpan.FromMinutes(5) || _reading.IsCompleted && !(Output + Error).Contains(text, StringComparison.Ordinal))
                    throw new InvalidOperationException($"\"{text}\" was not said:\n{Output}\n{Error}");
            }
        }

        public async Task<Ran> EndAsync(string typed = "")
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
            limit.CancelAfter(TimeSpan.FromMinutes(5));
            try
            {
                await _process.StandardInput.WriteAsync(typed.AsMemory(), limit.Token);
                _process.StandardInput.Close();
            }
            catch (IOException)
            {
                // It ended without reading what was typed.
            }

            await _process.WaitForExitAsync(limit.Token);
            await _reading.WaitAsync(limit.Token);
            return new Ran(_process.ExitCode, Output, Error);
        }

        public void Dispose()
        {
            if (!_process.HasExited) _process.Kill(entireProcessTree: true);
            _process.Dispose();
        }

        private static async Task ReadAsync(StreamReader reader, StringBuilder into)
        {
            var buffer = new char[4096];
            while (await reader.ReadAsync(buffer) is > 0 and var count)
            {
                lock (into) into.Append(buffer, 0, count);
            }
        }

        private static string Text(StringBuilder text)
        {
            lock (text) return text.ToString();
        }
    }
}
