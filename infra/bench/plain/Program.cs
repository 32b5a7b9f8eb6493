using LabPortal.Bench.Plain;
using Microsoft.AspNetCore.DataProtection;
using MudBlazor.Services;

// What the page of labs is compared with: pages in a host of its own, at the vendors' defaults, with nothing of ours.
var builder = WebApplication.CreateBuilder(args);
// It is started from where it was built, and leaves no keys behind.
builder.WebHost.UseStaticWebAssets();
builder.Services.AddDataProtection().UseEphemeralDataProtectionProvider();
builder.Services.AddRazorComponents().AddInteractiveServerComponents();
builder.Services.AddMudServices();
var app = builder.Build();
app.UseAntiforgery();
app.MapStaticAssets();
app.MapRazorComponents<PlainApp>().AddInteractiveServerRenderMode();
await app.RunAsync();
