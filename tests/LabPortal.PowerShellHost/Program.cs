using System.Management.Automation;
using System.Management.Automation.Runspaces;
using System.Text;
using LabPortal.PowerShellHost;

// powershell.exe, as far as a host is asked through it: what stands in -EncodedCommand is run, and each line of the standard input is an object of its $input as it comes.
var encoded = Array.IndexOf(args, "-EncodedCommand");
if (encoded < 0 || encoded + 1 >= args.Length || args.Except(["-NoProfile", "-NonInteractive", "-InputFormat", "-OutputFormat", "Text"]).Count() != 2)
{
    await Console.Error.WriteLineAsync("This PowerShell takes -NoProfile, -NonInteractive, -InputFormat Text, -OutputFormat Text and -EncodedCommand.");
    return 64;
}

if (Wire.Current.IsSilent)
{
    while (await Console.In.ReadLineAsync() is not null) { }
    return 0;
}

var state = InitialSessionState.CreateDefault2();
state.Commands.Add(new SessionStateCmdletEntry("ConvertTo-Json", typeof(ConvertToJsonCommand), null));
state.Commands.Add(new SessionStateCmdletEntry("ConvertFrom-Json", typeof(ConvertFromJsonCommand), null));
using var runspace = RunspaceFactory.CreateRunspace(state);
runspace.Open();
using (var module = PowerShell.Create(runspace))
{
    module.AddScript(HyperVModule.Functions(CmdletReference.Read())).Invoke();
    if (module.HadErrors) throw new InvalidOperationException(string.Join('\n', module.Streams.Error));
}

using var shell = PowerShell.Create(runspace);
shell.AddScript(Encoding.Unicode.GetString(Convert.FromBase64String(args[encoded + 1])));
using var lines = new PSDataCollection<string>();
using var output = new PSDataCollection<PSObject>();
var running = shell.BeginInvoke(lines, output);
while (await Console.In.ReadLineAsync() is { } line) lines.Add(line);
lines.Complete();
shell.EndInvoke(running);
foreach (var error in shell.Streams.Error) await Console.Error.WriteLineAsync(error.ToString());
return shell.HadErrors ? 1 : 0;
